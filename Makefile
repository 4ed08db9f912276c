# `make demo` calibrates and deploys, `make test` runs the tests; both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test chaos docs-test lint docs bench clean

demo: $(VENV)/.installed
	$(BIN)/nagsdk deploy --device cpu --budget 0.2ms --output deployments/first

test: $(VENV)/.tested
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not documented and not chaos" $(PYTEST_ARGS)

# Kills and interrupts commands at every moment, fills their disks, and mutates the files they read; prints the counts.
chaos: $(VENV)/.tested
	$(BIN)/python -m pytest -m chaos $(PYTEST_ARGS)

# Really runs the commands in the documentation, which calibrate and deploy; takes ten minutes.
docs-test: $(VENV)/.tested
	$(BIN)/python -m pytest -m documented

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin
	$(BIN)/mypy --platform win32
	$(BIN)/mypy benchmarks
	$(BIN)/mypy recipes
	$(BIN)/lint-imports

docs: $(VENV)/.documented
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.benched
	$(BIN)/python benchmarks/all.py

clean:
	rm -rf $(VENV) site deployments

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[test,lint]'
	touch $@

$(VENV)/.benched: $(VENV)/.tested
	$(BIN)/pip install --quiet --editable '.[search]'
	touch $@

$(VENV)/.documented: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@
