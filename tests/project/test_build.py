"""Declared deployments: brought up to date, pinned, and brought back byte for byte."""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from nagsdk.bundle.bundle import load_bundle
from nagsdk.cli import cli, printing
from nagsdk.common.files import sha256
from nagsdk.common.folders import cache_folder, shipped
from nagsdk.errors import LockError, UnknownNameError, UsageError
from nagsdk.events import Notice
from nagsdk.project.build import build
from nagsdk.project.inputs import changed, inputs_of
from nagsdk.project.lock import read_lock
from nagsdk.project.toml import read_project
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures

ONE = '[deployments.small]\ndevice = "board"\nbudget = "1.5ms"\noutput = "assets/ml"\n'


_KEPT = {}


@pytest.fixture
def app(simulate, tmp_path, tmp_path_factory):  # noqa: F811
    """An app with one deployment that is up to date, and the device; built once for all tests."""
    folder = tmp_path / "app"
    simulate()
    if not _KEPT:
        folder.mkdir()
        (folder / "nagsdk.toml").write_text(ONE)
        report = build(folder)
        assert [(o.state, o.verdict) for o in report.deployments] == [("deployed", "held")] and report.exit_code == 0
        kept = tmp_path_factory.mktemp("built")
        _KEPT.update(
            {
                shutil.copytree(source, kept / name): name
                for name, source in (("app", folder), ("artifacts", _artifacts()))
            }
        )
        return folder
    for kept, name in _KEPT.items():
        shutil.copytree(kept, folder if name == "app" else _artifacts())
    return folder


def _artifacts():
    return cache_folder() / "artifacts"


def _only(report):
    (outcome,) = report.deployments
    return outcome


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _empty_cache():
    shutil.rmtree(_artifacts())


def _clone(app, to):
    """What another machine has: the two files that are checked in."""
    to.mkdir()
    for name in ("nagsdk.toml", "nagsdk.lock"):
        shutil.copyfile(app / name, to / name)
    return to


@pytest.fixture
def own_bundle(app, tmp_path):
    """A clone whose bundle is a folder that was left behind; returns the clone and what is pinned."""
    shutil.copytree(shipped("bundles") / "glyphs", app / "shapes")
    (app / "nagsdk.toml").write_text(ONE.replace("1.5ms", "1MMACs") + 'bundle = "./shapes"\n')
    assert _only(build(app)).state == "deployed"
    return _clone(app, tmp_path / "clone"), _contents(app / "assets/ml")


def test_what_is_pinned_is_had_by_hash_without_its_bundle(own_bundle):
    clone, pinned = own_bundle
    assert _only(build(clone, locked=True)).state == "cache" and _contents(clone / "assets/ml") == pinned
    assert _only(build(clone, locked=True)).state == "current"
    shutil.rmtree(clone / "assets")
    _empty_cache()
    outcome = _only(build(clone, locked=True))
    assert outcome.exit_code == 7 and "cannot be built again: There is no" in outcome.error.message


def test_what_is_up_to_date_is_left_alone(app, world):  # noqa: F811
    sessions, before = world.sessions, {p: p.stat().st_mtime_ns for p in app.rglob("*")}
    outcome = _only(build(app / "nagsdk.toml"))
    assert outcome.state == "current" and outcome.verdict == "held" and 0 <= outcome.age_days < 1
    assert outcome.device_fingerprint == "simulated"
    os.utime(app / "nagsdk.toml", (1, 1))  # times play no part
    assert _only(build(app)).state == "current"
    assert world.sessions == sessions
    os.utime(app / "nagsdk.toml", ns=(before[app / "nagsdk.toml"],) * 2)
    assert {p: p.stat().st_mtime_ns for p in app.rglob("*")} == before


@pytest.mark.parametrize("harm", ["delete", "alter", "move"])
def test_a_lost_output_is_brought_back_as_it_was(app, world, harm):  # noqa: F811
    sessions, before = world.sessions, _contents(app / "assets/ml")
    output = app / "assets/ml"
    if harm == "delete":
        shutil.rmtree(output)
    elif harm == "alter":
        (output / "model.onnx").write_bytes(b"x")
    else:
        (app / "nagsdk.toml").write_text(ONE.replace("assets/ml", "elsewhere"))
        output = app / "elsewhere"
    assert _only(build(app)).state == "cache"
    assert _contents(output) == before and world.sessions == sessions
    assert _only(build(app)).state == "current"


def test_line_ends_that_git_changed_are_told_and_restored(app):
    pinned = _contents(app / "assets/ml")
    for name in ("labels.txt", "manifest.json"):
        path = app / "assets/ml" / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    told = []
    assert _only(build(app, locked=True, on_event=told.append)).state == "cache"
    assert _contents(app / "assets/ml") == pinned
    (notice,) = (event for event in told if isinstance(event, Notice) and event.warning)
    assert "labels.txt, manifest.json differ only in line ends" in notice.text and "`**/ml/** -text`" in notice.text


def test_a_bundle_whose_line_ends_git_changed_is_told_as_such(own_bundle, app):
    clone, _ = own_bundle
    shutil.copytree(app / "shapes", clone / "shapes")
    description = clone / "shapes" / "bundle.json"
    description.write_bytes(description.read_bytes().replace(b"\n", b"\r\n"))
    error = _only(build(clone, locked=True)).error
    assert "bundle.json differs only in line ends" in error.message and "-text" in error.message


def test_without_cache_the_artifact_is_built_again_from_the_statistics(app, tmp_path, monkeypatch):
    from nagsdk.bundle.bundle import Bundle

    _empty_cache()
    monkeypatch.setattr(Bundle, "recalibration_images", lambda *a, **k: pytest.fail("images were read"))
    clone = _clone(app, tmp_path / "clone")
    assert _only(build(clone, locked=True)).state == "rebuilt"
    assert _contents(clone / "assets/ml") == _contents(app / "assets/ml")


def test_a_mirror_is_asked_by_hash(app, tmp_path):
    mirror = tmp_path / "mirror"
    shutil.copytree(_artifacts(), mirror)
    clone = _clone(app, tmp_path / "clone")
    (clone / "nagsdk.toml").write_text(f'mirror = "{mirror}"\n{ONE}')
    _empty_cache()
    assert _only(build(clone, locked=True)).state == "mirror"
    assert _contents(clone / "assets/ml") == _contents(app / "assets/ml")
    assert [p.name for p in _artifacts().iterdir()] == [sha256(app / "assets/ml/model.onnx")]


def test_a_mirror_that_holds_something_else_is_refused(app, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / sha256(app / "assets/ml/model.onnx")).write_bytes(b"not the model")
    clone = _clone(app, tmp_path / "clone")
    (clone / "nagsdk.toml").write_text(f'mirror = "../mirror"\n{ONE}')
    _empty_cache()
    outcome = _only(build(clone, locked=True))
    assert outcome.state == "failed" and outcome.exit_code == 7 and "refused" in outcome.error.message
    assert not (clone / "assets/ml").exists()


@pytest.mark.parametrize("has", [True, False])
def test_a_mirror_by_http(app, tmp_path, has):
    mirror = tmp_path / "mirror"
    shutil.copytree(_artifacts(), mirror) if has else mirror.mkdir()
    handler = partial(
        type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *a: None}), directory=str(mirror)
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        clone, told = _clone(app, tmp_path / "clone"), []
        (clone / "nagsdk.toml").write_text(f'mirror = "http://127.0.0.1:{server.server_port}/"\n{ONE}')
        _empty_cache()
        outcome = _only(build(clone, locked=True, on_event=told.append))
        server.shutdown()
    assert outcome.state == ("mirror" if has else "rebuilt")
    assert any("mirror is not used" in event.text for event in told) != has
    assert _contents(clone / "assets/ml") == _contents(app / "assets/ml")


def test_a_damaged_cache_is_not_used(app):
    (_artifacts() / sha256(app / "assets/ml/model.onnx")).write_bytes(b"damaged")
    before = _contents(app / "assets/ml")
    shutil.rmtree(app / "assets")
    told = []
    assert _only(build(app, on_event=told.append)).state == "rebuilt"
    assert any("damaged" in event.text for event in told) and _contents(app / "assets/ml") == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("1.5ms", "1.6ms"), "budget changed"),
        (lambda text: text + "seed = 3\n", "seed changed"),
        (lambda text: text.replace("small", "other"), "does not pin other"),
        (lambda text: text + 'bundle = "./glyphs"\n', "bundle changed"),
    ],
)
def test_locked_refuses_what_is_not_pinned(app, world, change, says):  # noqa: F811
    before, sessions = _contents(app / "assets/ml"), world.sessions
    (app / "nagsdk.toml").write_text(change(ONE))
    lock = (app / "nagsdk.lock").read_bytes()
    outcome = _only(build(app, locked=True))
    assert (outcome.state, outcome.exit_code) == ("failed", 7) and says in outcome.error.message
    assert (
        _contents(app / "assets/ml") == before
        and (app / "nagsdk.lock").read_bytes() == lock
        and world.sessions == sessions
    )


def test_a_rebuilt_file_of_another_hash_is_refused(app):
    lock = json.loads((app / "nagsdk.lock").read_text())
    entry = lock["deployments"]["small"]
    name = next(iter(entry["statistics"]))
    entry["statistics"][name] = base64.b64encode(
        b"\0\0\x80?" * (len(base64.b64decode(entry["statistics"][name])) // 4)
    ).decode()
    (app / "nagsdk.lock").write_text(json.dumps(lock))
    _empty_cache()
    before = _contents(app / "assets/ml")
    (app / "assets/ml/model.onnx").unlink()
    outcome = _only(build(app, locked=True))
    assert outcome.exit_code == 7 and "the result is another file" in outcome.error.message
    assert _contents(app / "assets/ml").keys() == before.keys() - {"model.onnx"}


def test_statistics_of_another_architecture_are_refused(app):
    lock = json.loads((app / "nagsdk.lock").read_text())
    lock["deployments"]["small"]["statistics"].popitem()
    (app / "nagsdk.lock").write_text(json.dumps(lock))
    _empty_cache()
    shutil.rmtree(app / "assets")
    assert "do not fit" in _only(build(app, locked=True)).error.message


def test_a_change_is_deployed_and_pinned(app, world):  # noqa: F811
    first = read_lock(app / "nagsdk.lock").deployments["small"]
    (app / "nagsdk.toml").write_text(ONE.replace("1.5ms", "1ms"))
    outcome = _only(build(app))
    assert outcome.state == "deployed"
    second = read_lock(app / "nagsdk.lock").deployments["small"]
    assert second.manifest["artifact"]["sha256"] == outcome.sha256 != first.manifest["artifact"]["sha256"]
    assert second.inputs.options["budget"] == ["1ms"]


def test_what_fails_leaves_the_others(app):
    both = (
        ONE
        + '[deployments.tiny]\ndevice = "board"\nbudget = "0.001ms"\n'
        + '[deployments.third]\ndevice = "board"\nbudget = "1MMACs"\n'
    )
    (app / "nagsdk.toml").write_text(both)
    report = build(app)
    assert [o.state for o in report.deployments] == ["current", "failed", "deployed"] and report.exit_code == 3
    assert "the cheapest needs about" in report.deployments[1].error.message
    assert set(read_lock(app / "nagsdk.lock").deployments) == {"small", "third"}
    assert (app / "deployments/third/model.onnx").is_file() and not (app / "deployments/tiny").exists()
    (app / "nagsdk.toml").write_text(ONE)
    assert build(app).exit_code == 0 and set(read_lock(app / "nagsdk.lock").deployments) == {"small"}


def test_what_cannot_be_built_is_told_before_anything_is(app):
    tables = ONE.replace("1.5ms", "1MMACs")
    wrong = {"device": "bord", "bundle": "glyph", "strategy": "nags"}
    for name, value in wrong.items():
        fields = {"device": "board", "budget": "1MMACs", name: value}
        tables += f"[deployments.{name}]\n" + "".join(f'{key} = "{field}"\n' for key, field in fields.items())
    (app / "nagsdk.toml").write_text(tables)
    told = []
    report = build(app, on_event=told.append)
    assert [o.state for o in report.deployments] == ["deployed", "failed", "failed", "failed"]
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert ["cannot be built" in text for text in notices[:4]] == [True] * 3 + [False]
    for text, value in zip(notices, wrong.values(), strict=False):
        assert value in text


def test_a_miss_leaves_the_earlier_output_and_its_pin(app, world):  # noqa: F811
    lock, before = (app / "nagsdk.lock").read_bytes(), _contents(app / "assets/ml")
    world.world = lambda ms: 40.0
    (app / "nagsdk.toml").write_text(ONE.replace("1.5ms", "1.4ms"))
    report = build(app)
    assert (_only(report).state, report.exit_code) == ("missed", 3)
    assert (app / "nagsdk.lock").read_bytes() == lock and _contents(app / "assets/ml") == before


def test_a_measurement_in_the_lock_is_evidence_where_the_device_is_not(app, world, tmp_path):  # noqa: F811
    world.present = False
    outcome = _only(build(_clone(app, tmp_path / "runner"), locked=True, require_verified=True))
    assert outcome.verdict == "held" and outcome.measured_at and outcome.device_fingerprint == "simulated"


def test_what_was_never_measured_is_no_evidence(simulate, tmp_path):  # noqa: F811
    backend = simulate()
    backend.present = False
    (tmp_path / "nagsdk.toml").write_text(ONE.replace("1.5ms", "1MMACs"))
    assert _only(build(tmp_path)).verdict == "unverified"
    outcome = _only(build(tmp_path, locked=True, require_verified=True))
    assert outcome.exit_code == 6 and outcome.measured_at is None
    assert _only(build(tmp_path, require_verified=True)).exit_code == 6
    backend.present = True
    again = _only(build(tmp_path, require_verified=True))
    assert (again.state, again.verdict) == ("deployed", "held")


def test_images_are_an_input_where_they_are(simulate, tmp_path):  # noqa: F811
    from PIL import Image

    simulate()
    photos = tmp_path / "app/photos"
    photos.mkdir(parents=True)
    for number in range(4):
        Image.effect_noise((40, 40), 10 * number + 1).save(photos / f"{number}.png")
    app = tmp_path / "app"
    (app / "nagsdk.toml").write_text(ONE.replace("1.5ms", "1MMACs") + 'images = "photos"\n')
    assert _only(build(app)).state == "deployed"
    assert str(tmp_path) not in (app / "nagsdk.lock").read_text()
    clone = _clone(app, tmp_path / "clone")
    assert _only(build(clone, locked=True)).state == "cache"
    Image.new("RGB", (40, 40)).save(photos / "0.png")
    assert "images changed" in _only(build(app, locked=True)).error.message


def test_imported_weights_count_where_they_are(tmp_path):
    (tmp_path / "nagsdk.toml").write_text('[deployments.a]\ndevice = "pixel-1"\nbudget = "80ms"\nbundle = "imagenet"\n')
    (declared,) = read_project(tmp_path / "nagsdk.toml").deployments
    without = inputs_of(declared)
    record = {"source": "x", "imported_at": "x", "checkpoint_sha256": "2" * 64, "sha256": "0" * 64}
    folder = load_bundle("imagenet").weights_folder
    folder.mkdir(parents=True)
    (folder / "weights.json").write_text(json.dumps(record))
    pinned = inputs_of(declared)
    assert without.weights is None and pinned.weights == "0" * 64
    (folder / "weights.json").write_text(json.dumps(record | {"sha256": "1" * 64}))
    assert changed(pinned, inputs_of(declared)) == ["weights"]
    assert changed(pinned, without) == [] and changed(pinned, pinned) == []


def test_what_decides_about_the_artifact_is_an_input(tmp_path):
    device = 'id = "mine"\ntitle = "{}"\nbackend = "onnxruntime"\nthreads = {}\n'
    (tmp_path / "nagsdk.toml").write_text('[deployments.a]\ndevice = "mine.toml"\nbudget = "80ms"\n')
    (declared,) = read_project(tmp_path / "nagsdk.toml").deployments
    (tmp_path / "mine.toml").write_text(device.format("Mine", 1))
    pinned = inputs_of(declared)
    (tmp_path / "mine.toml").write_text(device.format("Still mine", 1))
    assert changed(pinned, inputs_of(declared)) == []
    (tmp_path / "mine.toml").write_text(device.format("Mine", 2))
    assert changed(pinned, inputs_of(declared)) == ["device"]


def test_a_torn_lock_is_refused(app):
    (app / "nagsdk.lock").write_text('{"format": 1, "deployments": {"small"')
    with pytest.raises(LockError, match="cannot be read"):
        build(app)


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/model.onnx", ".hidden", "a/b"])
def test_a_lock_cannot_lead_out_of_the_folder(app, path):
    lock = json.loads((app / "nagsdk.lock").read_text())
    lock["deployments"]["small"]["manifest"]["artifact"]["path"] = path
    (app / "nagsdk.lock").write_text(json.dumps(lock))
    with pytest.raises(LockError):
        build(app)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "deployments is missing"),
        ("[deployments]\n", "at least 1"),
        ("deployments = [1\n", "not a readable TOML"),
        ('[deployments.a]\ndevice = "cpu"\n', "deployments.a: budget is missing"),
        ('[deployments.a]\ndevice = "cpu"\nbudget = "80"\n', "Perhaps you meant 80ms"),
        ('[deployments.a]\ndevice = "cpu"\nbudget = ["1ms", "3 parsecs"]\n', "parsecs"),
        ('[deployments.a]\ndevice = "cpu"\nbudget = []\n', "a list of such texts"),
        ('[deployments.a]\ndevice = "cpu"\nbudget = 8\n', "a text such as 80ms"),
        ('[deployments.a]\ndevice = "cpu"\nbudget = "1ms"\nbugdet = "2ms"\n', "not a known key (did you mean budget?)"),
        ('[deployments.a]\ndevice = "cpu"\nbudget = "1ms"\nthreads = 0\n', "deployments.a.threads"),
        ('[deployments."../x"]\ndevice = "cpu"\nbudget = "1ms"\n', "../x"),
        ('mirror = "ftp://x"\n[deployments.a]\ndevice = "cpu"\nbudget = "1ms"\n', "http(s)"),
        (ONE + '[deployments.b]\ndevice = "cpu"\nbudget = "1ms"\noutput = "assets/../assets/ml/"\n', "the same folder"),
        (ONE + '[deployments.b]\ndevice = "cpu"\nbudget = "1ms"\noutput = "assets"\n', "the same folder"),
        (ONE + '[deployments.b]\ndevice = "cpu"\nbudget = "1ms"\noutput = "Assets/ML"\n', "Assets/ML"),
        (ONE.replace("assets/ml", "."), "below the folder of nagsdk.toml"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_place(tmp_path, text, says):
    (tmp_path / "nagsdk.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_project(tmp_path / "nagsdk.toml")
    assert (
        says in caught.value.message
        and "function-" not in caught.value.message
        and "Value error" not in caught.value.message
    )


def test_without_a_declaration_or_a_lock_that_is_said(tmp_path, simulate):  # noqa: F811
    with pytest.raises(UsageError, match="There is no file"):
        build(tmp_path)
    (tmp_path / "nagsdk.toml").write_text(ONE)
    simulate()
    outcome = _only(build(tmp_path, locked=True))
    assert outcome.exit_code == 7 and "There is no nagsdk.lock" in outcome.error.message
    (tmp_path / "nagsdk.lock").write_text("")
    with pytest.raises(LockError, match=r"cannot be read: it is not valid JSON \(") as caught:
        build(tmp_path)
    assert "pydantic" not in caught.value.message


def test_an_unknown_device_is_refused_for_its_deployment_alone(app):
    (app / "nagsdk.toml").write_text(ONE + '[deployments.b]\ndevice = "bord"\nbudget = "1ms"\n')
    report = build(app)
    assert [o.state for o in report.deployments] == ["current", "failed"] and report.exit_code == 2
    assert "board" in report.deployments[1].error.next_step


def _nagsdk(arguments, folder, cache, **settings):
    environment = {**os.environ, "NAGSDK_CACHE_DIR": str(cache), **settings}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )


# Torch, its matrix products and its convolutions, and numpy without AVX: recalibration gives other numbers then.
_OLD_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
}


@pytest.mark.nightly
@pytest.mark.parametrize(
    "way",
    [{**_OLD_PROCESSOR, "OMP_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "1"}],
    ids=["old processor, two threads", "one thread"],
)
def test_the_same_bytes_on_every_machine(tmp_path, way):
    """The real device: another clone with an empty cache, other threads, and torch without AVX."""
    app, cache = tmp_path / "app", tmp_path / "cache"
    app.mkdir()
    # All kernel sizes, so that every learned transformation of kernels is used.
    (app / "nagsdk.toml").write_text(
        '[deployments.a]\ndevice = "cpu"\nbudget = "1.7MMACs"\n'
        '[deployments.b]\ndevice = "cpu"\nbudget = "500kB"\nstrategy = "random"\n'
    )
    done = _nagsdk(["-m", "nagsdk", "build", "--json"], app, cache)
    assert done.returncode == 0, done.stderr
    pinned = read_lock(app / "nagsdk.lock").deployments
    used = {
        int(k) for e in pinned.values() for k in e.manifest["architecture"].split(":ks=")[1].split(":")[0].split(",")
    }
    assert used == set(load_bundle("glyphs").space.kernels)
    clone = _clone(app, tmp_path / "clone")
    done = _nagsdk(["-m", "nagsdk", "build", "--locked", "--json"], clone, tmp_path / "other", **way)
    assert done.returncode == 0, done.stderr
    assert [o["state"] for o in json.loads(done.stdout)["deployments"]] == ["rebuilt", "rebuilt"]
    for name in pinned:
        assert _contents(clone / "deployments" / name) == _contents(app / "deployments" / name)
    no_torch = (
        "import sys; sys.modules['torch'] = None; from nagsdk.cli import main; "
        "sys.argv = ['nagsdk', 'build', '--locked', '--json']; main()"
    )
    shutil.rmtree(clone / "deployments")
    for state in ("cache", "current"):
        done = _nagsdk(["-c", no_torch], clone, cache)
        assert done.returncode == 0, done.stderr
        assert {o["state"] for o in json.loads(done.stdout)["deployments"]} == {state}


def test_the_command_line_tells_what_became_of_each(app):
    from click.testing import CliRunner

    from nagsdk.cli import cli

    (app / "nagsdk.toml").write_text(ONE + '[deployments.b]\ndevice = "bord"\nbudget = "1ms"\n')
    found = CliRunner().invoke(cli, ["build", "--project", str(app)])
    assert found.exit_code == 2 and "small  current" in found.output
    assert "just now on board (simulated)" in found.output or "ago on board (simulated)" in found.output
    assert "b  failed" in found.output and "board" in found.output
    assert Path(app / "nagsdk.lock").is_file()


@pytest.mark.parametrize(
    ("days", "shown"),
    [(0.001, "just now"), (0.01, "14 minutes ago"), (0.5, "12 hours ago"), (1.5, "36 hours ago"), (3.2, "3 days ago")],
)
def test_an_age_is_told_in_its_unit(days, shown):
    from nagsdk.cli.build import _ago

    assert _ago(days) == shown


def test_named_deployments_are_built_and_others_left_alone(app, world, tmp_path):  # noqa: F811
    second = '[deployments.large]\ndevice = "board"\nbudget = ["500FPS", "2MB"]\n'
    (app / "nagsdk.toml").write_text(ONE + second)
    shutil.rmtree(app / "assets")
    before = (app / "nagsdk.lock").read_bytes()
    with pytest.raises(UnknownNameError, match="no deployment named 'lage'") as caught:
        build(app, ["small", "lage"])
    assert "Did you mean large" in caught.value.next_step
    assert not (app / "assets").exists() and (app / "nagsdk.lock").read_bytes() == before
    assert [(o.name, o.state) for o in build(app, ["small"]).deployments] == [("small", "cache")]
    assert (app / "nagsdk.lock").read_bytes() == before
    outcome = _only(build(app, ["large"]))
    assert (outcome.name, outcome.state, outcome.budgets) == ("large", "deployed", ("500FPS", "2MB"))
    assert set(read_lock(app / "nagsdk.lock").deployments) == {"small", "large"}
    # A name that nagsdk.toml no longer has leaves the lock; a name that was not built stays.
    (app / "nagsdk.toml").write_text(second + ONE.replace("small", "other").replace("assets", "more"))
    assert _only(build(app, ["large"], locked=True)).state == "current"
    assert set(read_lock(app / "nagsdk.lock").deployments) == {"small", "large"}
    assert _only(build(app, ["large", "large"])).state == "current"
    assert set(read_lock(app / "nagsdk.lock").deployments) == {"large"}


def test_the_summary_shows_latency_and_top1_beside_the_verdict(app):
    arguments = ["build", "--project", str(app)]
    run = lambda *more: CliRunner().invoke(cli, [*arguments, *more], catch_exceptions=False)  # noqa: E731
    (found,) = json.loads(run("--json").stdout)["deployments"]
    assert found["measured"]["latency_p50_ms"] <= 1.5 and found["measured"]["top1"] > found["measured"]["top1_low"]
    assert found["predicted"]["latency_ms"] > 0 and found["budgets"] == ["1.5ms"]
    shown = run("small").stdout
    p50 = printing.latency(found["measured"]["latency_p50_ms"])
    assert f"held  budget 1.5ms, p50 {p50}, top-1 {found['measured']['top1']:.2f} %" in shown
    assert CliRunner().invoke(cli, [*arguments, "smal"]).exception.exit_code == 2


def test_a_failed_deployment_has_no_figures_but_says_what_was_asked(app):
    (app / "nagsdk.toml").write_text('[deployments.x]\ndevice = "bord"\nbudget = "1ms"\nmin_top1 = 80\n')
    outcome = _only(build(app))
    assert outcome.measured is None and outcome.budgets == ("1ms", "a top-1 of at least 80 %")
