"""The source archive and the wheel are complete, and everyone who builds them gets the same bytes."""

import email
import subprocess
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest

from tests.conftest import REPOSITORY
from tests.release.conftest import build


def tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no checkout of git")
    # Files that were deleted, but not committed yet, are still listed.
    return {name for name in done.stdout.split("\0") if name and (REPOSITORY / name).is_file()}


def in_source(path):
    with tarfile.open(path) as archive:
        return {str(PurePosixPath(*PurePosixPath(m.name).parts[1:])): m for m in archive.getmembers() if m.isfile()}


def test_the_source_archive_holds_every_file_of_the_project(archives):
    held, own = in_source(archives["gz"]), tracked()
    assert own - held.keys() == set()
    assert {"requirements/base.txt", "docs/schemas/lock.schema.json", "tests/conftest.py", "bundles/SHA256SUMS"} <= own


def test_the_source_archive_names_nobody(archives):
    """Owners, groups and dates of the machine that built it would differ from build to build."""
    members = in_source(archives["gz"]).values()
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 1700000000)}


def test_the_wheel_holds_what_the_package_reads(archives):
    with zipfile.ZipFile(archives["whl"]) as wheel:
        held = set(wheel.namelist())
        (name,) = (name for name in held if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(name))
    assert metadata["Name"] == "nagsdk" and metadata["Requires-Python"] == ">=3.11"
    own = tracked()
    packages = (
        "nagsdk/",
        *(f"{name}/" for name in {path.split("/")[1] for path in own if path.startswith("plugins/nagsdk_")}),
    )
    shipped = {"bundles/": "nagsdk/shipped/bundles/", "devices/": "nagsdk/shipped/devices/"}
    shipped |= {"plugins/template/": "nagsdk/shipped/plugins/template/"}
    expected = {path.removeprefix("plugins/") for path in own if path.removeprefix("plugins/").startswith(packages)}
    for folder, place in shipped.items():
        expected |= {place + path.removeprefix(folder) for path in own if path.startswith(folder)}
    assert expected - held == set()
    # Nothing of the repository lies beside the packages, where it would be imported by its name.
    assert {path.split("/")[0] for path in held} - {package.rstrip("/") for package in packages} == {
        f"nagsdk-{metadata['Version']}.dist-info"
    }


def test_archives_are_the_same_bytes_wherever_they_are_built(archives, tmp_path):
    with tarfile.open(archives["gz"]) as archive:
        # Pythons before 3.11.4 know no filters.
        archive.extractall(tmp_path / "elsewhere", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = (tmp_path / "elsewhere").iterdir()
    again = build(source, tmp_path / "dist")
    assert again.keys() == archives.keys() == {"whl", "gz"}
    for kind, path in again.items():
        assert path.read_bytes() == archives[kind].read_bytes(), kind
