import json

import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.errors import BudgetError, InfeasibleError, OutputError, UsageError
from nagsdk.manifest.manifest import read_manifest
from nagsdk.schemas import schemas
from tests.few_images import few_images  # noqa: F401

POPULATION = "".join(
    f"[[devices]]\nshare = 25\nreadings = {{ mobilenet_v3_large = {ms} }}\n"
    f"title = '<b>{ms} ms</b>'\nchips = ['c{ms}']\n"
    for ms in (8, 20, 45, 70)
)
BUDGET = "30ms"


@pytest.fixture
def population(tmp_path):
    path = tmp_path / "fleet.toml"
    path.write_text(POPULATION)
    return path


def test_more_models_are_better_and_the_share_holds(population):
    found = nagsdk.fleet(population, BUDGET, 90, bundle="imagenet")
    assert [size.models for size in found.sizes] == [1, 2, 3, 4]
    top1 = [size.top1 for size in found.sizes]
    assert top1 == sorted(top1) and top1[1] > top1[0] + 0.3
    assert all(size.held >= 90 - 1e-4 and size.gap == 0 for size in found.sizes)
    assert found.chosen.top1 == pytest.approx(
        sum(d.share * next(m.top1 for m in found.models if m.name == d.model) for d in found.devices) / 100
    )
    assert sum(model.share for model in found.models) == pytest.approx(100)
    held = sum(device.share * device.chance for device in found.devices)
    assert held == pytest.approx(found.chosen.held, abs=1e-4)
    assert all(d.latency_ms < d.latency_upper_ms and d.limit_ms == 30 for d in found.devices)
    assert found.selector.held >= 89.9 and found.selector.bytes <= 2000
    assert any("4 of 4 devices are known from priors" in warning for warning in found.warnings)


def test_the_number_of_models_can_be_given(population):
    one = nagsdk.fleet(population, BUDGET, 90, bundle="imagenet", models=1)
    assert len(one.models) == len(one.sizes) == 1 and {d.model for d in one.devices} == {"model-1"}


def test_a_percentile_costs_accuracy(population):
    median, slow = (nagsdk.fleet(population, b, 90, bundle="imagenet", models=1) for b in (BUDGET, f"{BUDGET}@p90"))
    assert slow.chosen.top1 < median.chosen.top1


@pytest.mark.parametrize(
    ("budget", "share", "complaint"),
    [
        ("12MB", 95, "A fleet cannot be chosen for 12MB"),
        ("80ms@sustained", 95, "A fleet cannot be chosen for"),
        ("80ms", 0.95, "A share of users in per cent cannot be 0.95"),
        ("80ms", 100, "A share of users in per cent cannot be 100"),
    ],
)
def test_other_budgets_and_shares_are_refused(population, budget, share, complaint):
    with pytest.raises((BudgetError, UsageError), match=complaint):
        nagsdk.fleet(population, budget, share, bundle="imagenet")


def test_an_impossible_share_says_what_is_possible(population):
    with pytest.raises(InfeasibleError, match=r"cannot hold 1.5ms for 95 % of the users; one for each device would"):
        nagsdk.fleet(population, "1.5ms", 95, bundle="imagenet")


def test_the_command_writes_models_selector_code_and_report(population, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    output = tmp_path / "out"
    command = ["fleet", str(population), "--budget", "1ms", "--share", "90 %", "--bundle", "glyphs", "--json"]
    done = CliRunner().invoke(cli, [*command, "--models", "2", "--output", str(output)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == json.loads((output / "fleet.json").read_text())
    jsonschema.validators.Draft202012Validator(schemas()["fleet"]).validate(found)
    for model in found["models"]:
        (folder,) = model["folders"].values()
        manifest = read_manifest(output / folder)
        assert manifest["architecture"] == model["architecture"] and manifest["verdict"] == "unverified"
    selector = json.loads((output / "selector.json").read_text())
    assert selector["models"] == [model["name"] for model in found["models"]] and selector["share"] == 90
    assert "object NagsdkSelector" in (output / "NagsdkSelector.kt").read_text()
    assert "namespace nagsdk::fleet" in (output / "nagsdk_selector.hpp").read_text()
    page = (output / "report.html").read_text()
    assert "&lt;b&gt;8 ms&lt;/b&gt;" in page and "<b>8 ms" not in page and "<script" not in page
    again = CliRunner().invoke(cli, [*command, "--output", str(output)])
    assert isinstance(again.exception, OutputError) and "is not empty" in again.exception.message


def test_the_command_shows_what_one_model_would_cost(population):
    command = ["fleet", str(population), "--budget", BUDGET, "--share", "90%", "--bundle", "imagenet"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "(chosen)" in done.output and "proven" in done.output and "By chip and benchmark" in done.output
