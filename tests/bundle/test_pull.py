import hashlib
import io
import json
import shutil

import pytest
import torch

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.bundle.imported import read_weights_record
from nagsdk.bundle.pull import pull
from nagsdk.common.folders import data_folder, shipped
from nagsdk.errors import BundleError, DamagedBundleError, WeightsMissingError
from nagsdk.events import Notice
from nagsdk.families.mobilenet_v3.checkpoint import _ofa_names


@pytest.fixture(scope="module")
def checkpoints(tiny_space):
    """Two checkpoints of the tiny space, as bytes."""
    found = []
    for seed in (1, 2):
        supernet, content = tiny_space.supernet(), io.BytesIO()
        supernet.initialise(seed)
        own = supernet.state_dict()
        torch.save({theirs: own[ours] for theirs, ours in _ofa_names(supernet).items()}, content)
        found.append(content.getvalue())
    return found


@pytest.fixture
def serve(server, tiny_space, tmp_path, checkpoints):
    """Makes a bundle of the tiny space without weights, whose address is on the server."""

    def make(path="/weights", content=checkpoints[0], folder="own", **changed):
        server.answers[path.partition("?")[0]] = (200, {}, [content])
        text = json.loads((shipped("bundles") / "imagenet-w1.2/bundle.json").read_text("utf-8"))
        text |= {"name": folder, "space": tiny_space.to_dict(), "weights_source": server.address(path), **changed}
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "bundle.json").write_text(json.dumps(text))
        return Bundle(tmp_path / folder)

    return make


def files():
    """Every file of the user's data, with its content."""
    return {p.relative_to(data_folder()): p.read_bytes() for p in data_folder().rglob("*") if p.is_file()}


def test_the_first_download_is_trusted_and_said_so(serve, checkpoints):
    bundle, events = serve(), []
    with pytest.raises(WeightsMissingError, match="bundle pull"):
        bundle.require_weights()
    target = pull(bundle, on_event=events.append)
    digest = hashlib.sha256(checkpoints[0]).hexdigest()
    (told,) = [e for e in events if isinstance(e, Notice) and e.warning]
    assert "first download is trusted" in told.text and digest in told.text
    assert read_weights_record(bundle.weights_folder)["checkpoint_sha256"] == digest
    assert bundle.has_weights and bundle.supernet is not None and target.parent == bundle.weights_folder
    assert {p.name for p in target.parent.iterdir()} == {"supernet.safetensors", "weights.json"}
    pull(bundle, on_event=events.append)
    assert len([e for e in events if isinstance(e, Notice) and e.warning]) == 1


def test_another_file_at_the_same_address_is_refused(serve, checkpoints):
    pull(serve())
    before = files()
    for path in ("/weights", "/weights?x=1", "/weights#part"):
        with pytest.raises(DamagedBundleError, match="no longer sends the file of the first download") as caught:
            pull(serve(path, checkpoints[1]))
        for content in checkpoints:
            assert hashlib.sha256(content).hexdigest() in caught.value.message
        assert files() == before
    record = next(path for path in before if path.parts[0] == "downloads")
    assert str(record) in caught.value.next_step
    (data_folder() / record).unlink()
    pull(serve("/weights", checkpoints[1]))


def test_a_pinned_hash_decides(serve, checkpoints):
    digests = [hashlib.sha256(content).hexdigest() for content in checkpoints]
    with pytest.raises(DamagedBundleError, match="than the bundle pins") as caught:
        pull(serve(content=checkpoints[1], weights_source_sha256=digests[0]))
    assert all(digest in caught.value.message for digest in digests) and files() == {}
    events = []
    pull(serve(weights_source_sha256=digests[0]), on_event=events.append)
    assert not any(isinstance(e, Notice) and e.warning for e in events)


def test_a_bundle_that_claims_the_name_of_another_gets_weights_of_its_own(serve, checkpoints, tmp_path):
    """Neither the record nor the weights of a shipped bundle are those of a folder with its name."""
    imagenet = load_bundle("imagenet")
    imagenet.weights_folder.mkdir(parents=True)
    record = {"source": "https://a.invalid/x", "imported_at": "2026-01-01", "sha256": "a" * 64}
    (imagenet.weights_folder / "weights.json").write_text(json.dumps({**record, "checkpoint_sha256": "b" * 64}))
    (imagenet.weights_folder / "supernet.safetensors").write_bytes(b"weights of imagenet")
    before = files()
    impostor = serve(name="imagenet", folder="imagenet")
    assert impostor.name == "imagenet" and not impostor.is_shipped and not impostor.has_weights
    pull(impostor)
    assert {path: content for path, content in files().items() if path in before} == before
    assert impostor.weights_folder != imagenet.weights_folder and imagenet.weights_sha256 == "a" * 64
    (tmp_path / "c.pth").write_bytes(checkpoints[0])
    pull(impostor, tmp_path / "c.pth")
    assert imagenet.weights_sha256 == "a" * 64
    again = serve(name="imagenet", folder="other", title="Another one with this name")
    assert not again.has_weights


def test_a_copy_of_a_shipped_bundle_is_the_shipped_bundle(tmp_path):
    copy = Bundle(shutil.copytree(shipped("bundles") / "imagenet", tmp_path / "copy"))
    assert copy.is_shipped and copy.weights_folder == load_bundle("imagenet").weights_folder


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"<!DOCTYPE html><title>Sign in</title>", "is a web page"), (b"", "is empty"), (b"garbage", "cannot be read")],
)
def test_what_is_no_checkpoint_is_told_with_the_address_and_not_recorded(serve, server, content, says):
    with pytest.raises(DamagedBundleError, match=says) as caught:
        pull(serve(content=content))
    assert server.address() in caught.value.message and str(data_folder()) not in caught.value.message
    assert files() == {}
    pull(serve())  # the next file is the first one


def test_a_failed_pull_leaves_the_weights_as_they_are(serve, server, tmp_path):
    bundle = serve()
    pull(bundle)
    before = files()
    server.answers["/weights"] = (500, {}, [])
    with pytest.raises(BundleError, match="500"):
        pull(bundle)
    (tmp_path / "broken.pth").write_bytes(b"garbage")
    with pytest.raises(DamagedBundleError):
        pull(bundle, tmp_path / "broken.pth")
    with pytest.raises(BundleError, match="is not a file"):
        pull(bundle, tmp_path)
    assert files() == before and [p.name for p in bundle.weights_folder.parent.iterdir()] == [
        bundle.weights_folder.name
    ]


def test_bundles_with_weights_have_nothing_to_pull(tmp_path):
    for source in (None, tmp_path / "c.pth"):
        with pytest.raises(BundleError, match="ships its weights"):
            pull(load_bundle("glyphs"), source)


@pytest.mark.parametrize("address", ["http://a.invalid/x", "file:///etc/hostname", "not a url", "http://[::1"])
def test_addresses_that_are_not_allowed_are_refused(serve, address):
    with pytest.raises(BundleError):
        pull(serve(weights_source=address))
    assert files() == {}


@pytest.mark.parametrize(
    "harm",
    [b"", b"[]", b"{", b'{"source": 1}', b"[" * 10**5, b"\xff", b'{"source":"x","checkpoint_sha256":"x","sha256":"x"}'],
)
def test_records_that_cannot_be_read_are_told(serve, harm):
    bundle = serve()
    target = pull(bundle)
    target.with_name("weights.json").write_bytes(harm)
    with pytest.raises(DamagedBundleError, match=r"weights\.json cannot be read"):
        _ = bundle.weights_sha256
    pull(bundle)
    assert Bundle(bundle.folder).supernet is not None
    (record,) = (data_folder() / "downloads").iterdir()
    record.write_bytes(harm)
    with pytest.raises(DamagedBundleError, match=r"json cannot be read"):
        pull(bundle)
