# `make demo` calibrates and deploys, `make test` runs the tests; both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tools for releases are in an environment of their own.
RELEASE := .venv-release
export PIP_DISABLE_PIP_VERSION_CHECK := 1
LOCKED := pip install --quiet --require-hashes --requirement
LOCK := $(RELEASE)/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
	--constraints constraints.txt --excludes requirements/cuda.txt --no-emit-package torch \
	--custom-compile-command 'make lock' $(LOCK_ARGS) --output-file

.PHONY: demo test chaos docs-test nightly fuzz wheel-test lint style types types-darwin types-win32 docs bench lock dist sbom audit clean

demo: $(VENV)/.installed
	$(BIN)/nagsdk deploy --bundle glyphs --device cpu --budget 0.2ms --output deployments/first

test: $(VENV)/.tested
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not documented and not nightly" $(PYTEST_ARGS)

# Kills and interrupts commands at every moment and fills their disks; prints the counts.
chaos: $(VENV)/.tested
	$(BIN)/python -m pytest tests/chaos $(PYTEST_ARGS)

# Really runs the commands in the documentation, which calibrate and deploy.
docs-test: $(VENV)/.tested
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "documented and not nightly" tests/docs

# What takes too long for every change.
nightly: $(VENV)/.tested wheel-test audit fuzz
	$(BIN)/python -m pytest -m "nightly and not wheel"

# Reads 100,000 damaged files of all formats, and prints how many were refused.
fuzz: $(VENV)/.tested
	NAGSDK_FUZZ_CASES=100000 $(BIN)/python -m pytest -n 2 --dist worksteal tests/fuzz

# Installs the wheel on every Python from 3.11 to 3.14 that is here, and deploys with it outside the checkout.
wheel-test: $(VENV)/.tested
	$(BIN)/python -m pytest -m wheel tests/release

# With `make -j 2` its parts run beside each other.
lint: style types types-darwin types-win32

style: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# A platform has a cache of its own, because mypy drops what it keeps of another platform.
types: $(VENV)/.tested
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	$(BIN)/mypy recipes

types-darwin: $(VENV)/.tested
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin

types-win32: $(VENV)/.tested
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32

docs: $(VENV)/.documented
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.tested
	$(BIN)/python benchmarks/all.py

# Run it after a change of the dependencies in pyproject.toml or of constraints.txt; tests/release fails while it is due.
# LOCK_ARGS=--upgrade takes new versions of the packages that constraints.txt does not name.
lock: $(RELEASE)/.installed
	$(LOCK) requirements/base.txt pyproject.toml --group build
	$(LOCK) requirements/test.txt pyproject.toml --extra test --extra lint
	$(LOCK) requirements/docs.txt pyproject.toml --extra docs
	$(LOCK) requirements/release.txt --group release

# The date in the archives is that of the commit, so that everyone gets the same bytes.
dist: $(RELEASE)/.installed
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(RELEASE)/bin/hatchling build

# A CycloneDX list of what the wheel brings with it.
sbom: dist
	$(PYTHON) -m venv --clear $(RELEASE)/wheel
	$(RELEASE)/wheel/bin/$(LOCKED) requirements/base.txt
	$(RELEASE)/wheel/bin/pip install --quiet --constraint constraints.txt torch
	$(RELEASE)/wheel/bin/pip install --quiet --no-deps dist/*.whl
	$(RELEASE)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file dist/nagsdk.cdx.json $(RELEASE)/wheel/bin/python

# Asks the package index for known vulnerabilities of the locked packages; skips where it cannot be asked.
audit: $(VENV)/.tested $(RELEASE)/.installed
	$(BIN)/python -m pytest tests/release/test_audit.py

clean:
	rm -rf $(VENV) $(RELEASE) site deployments dist

# The hash of PyTorch is not locked: its builds for processors and for CUDA have one version, and come from other indexes.
# pip says nothing for minutes, so a line every few seconds tells how far the installation is, also without a terminal.
$(VENV)/.installed: pyproject.toml constraints.txt requirements/base.txt
	@echo "Installing nagsdk and what it needs into $(VENV); this takes a few minutes."
	@set -e; start=$$(date +%s); \
	(while sleep 4; do \
		echo "  $$(($$(date +%s) - start)) s, $$(du -sm $(VENV) 2>/dev/null | cut -f 1) MB installed"; \
	done) & beat=$$!; trap 'kill $$beat' EXIT; trap 'exit 130' INT TERM; \
	$(PYTHON) -m venv $(VENV); \
	$(BIN)/$(LOCKED) requirements/base.txt; \
	$(BIN)/pip install --quiet --constraint constraints.txt torch; \
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed requirements/test.txt
	$(BIN)/$(LOCKED) requirements/test.txt
	touch $@

$(VENV)/.documented: $(VENV)/.installed requirements/docs.txt
	$(BIN)/$(LOCKED) requirements/docs.txt
	touch $@

$(RELEASE)/.installed: requirements/release.txt
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/$(LOCKED) requirements/release.txt
	touch $@
