import json
import tomllib
from dataclasses import asdict

import pytest

import nagsdk
from nagsdk import inventory
from nagsdk.pipeline.verify import verify
from nagsdk.project.build import build
from nagsdk.schemas import schemas, text
from tests.conftest import REPOSITORY
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

jsonschema = pytest.importorskip("jsonschema")
FOLDER = REPOSITORY / "docs/schemas"


def _check(name, content):
    jsonschema.validators.Draft202012Validator(schemas()[name]).validate(json.loads(json.dumps(content)))


def test_the_schemas_in_the_documentation_are_up_to_date():
    assert {p.name: p.read_text("utf-8") for p in FOLDER.iterdir()} == {
        f"{n}.schema.json": text(s) for n, s in schemas().items()
    }, "run: python -m nagsdk.schemas docs/schemas"


def test_every_schema_is_valid():
    for schema in schemas().values():
        jsonschema.validators.Draft202012Validator.check_schema(schema)


def test_real_files_and_outputs_validate(simulate, tmp_path):  # noqa: F811
    simulate()
    declared = '[deployments.a]\ndevice = "board"\nbudget = ["1.5ms", "600kB"]\noutput = "model"\n'
    (tmp_path / "nagsdk.toml").write_text(declared)
    _check("project", tomllib.loads(declared))
    _check("build", build(tmp_path).to_dict())
    _check("lock", json.loads((tmp_path / "nagsdk.lock").read_text()))
    _check("manifest", json.loads((tmp_path / "model/manifest.json").read_text()))
    _check("preprocessing", json.loads((tmp_path / "model/preprocessing.json").read_text()))
    (tmp_path / "model/model.ms").write_text("1.4")  # the simulated device reads the latency from this file
    _check("verify", verify(tmp_path / "model").to_dict())
    image = REPOSITORY / "bundles/glyphs/test.webp"
    _check("try", nagsdk.try_images(tmp_path / "model", image).to_dict())
    _check("init", nagsdk.init("board", "100MB", name="b", project=tmp_path).to_dict())
    exported = nagsdk.export("board", architecture="mbv3:r32:d=1,1,1,1:ks=3,3,3,3:e=2,2,2,2", output=tmp_path / "one")
    _check("deploy", exported.to_dict())
    _check("manifest", json.loads((tmp_path / "one/manifest.json").read_text()))
    _check("results", [r.to_dict() for r in nagsdk.generate("board", budget=["1ms", "2ms"])])
    for name in ("glyphs", "imagenet"):
        _check("bundle", json.loads((REPOSITORY / f"bundles/{name}/bundle.json").read_text()))
    _check("plugins", [dict(status) for status in inventory.plugins()])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("project", {"deployments": {"a": {"device": "cpu"}}}),
        ("project", {"deployments": {"a": {"device": "cpu", "budget": "1ms", "colour": "red"}}}),
        ("lock", {"format": 2, "deployments": {}}),
        ("manifest", {"format": 1}),
    ],
)
def test_what_is_wrong_does_not_validate(name, content):
    with pytest.raises(jsonschema.ValidationError):
        _check(name, content)


def test_a_measured_result_is_a_dictionary_of_known_keys(simulate, tmp_path):  # noqa: F811
    """The open schemas would let a renamed key pass unseen."""
    simulate()
    deployment = nagsdk.deploy("board", budget="1.5ms", output=tmp_path / "out")
    known = set(schemas()["deploy"]["properties"])
    assert set(deployment.to_dict()) == known
    assert set(asdict(deployment.result.measured)) == set(schemas()["deploy"]["$defs"]["Measured"]["properties"])
