import stat
import subprocess
import sys

import pytest

pytest.importorskip("cryptography", reason="needs the extra lab")

from nagsdk.errors import OutputError, UsageError
from nagsdk.lab.certificates import ROLES, security_of, write_certificates


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab") / "certificates"
    write_certificates(folder)
    return folder


def test_keys_are_private_and_certificates_are_of_the_authority(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"ca.pem", "ca-key.pem", *(f"{r}{end}.pem" for r in ROLES for end in ("", "-key"))}
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*-key.pem")} == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(not any(map(__import__("shutil").which, ["openssl"])), reason="needs openssl")
@pytest.mark.parametrize(("role", "purpose", "fits"), [("worker", "sslserver", True), ("scheduler", "sslserver", True),
    ("client", "sslserver", False), ("client", "sslclient", True)])  # fmt: skip
def test_a_client_cannot_pose_as_a_worker(folder, role, purpose, fits):
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-purpose",
        purpose,
        "-CAfile",
        folder / "ca.pem",
        folder / f"{role}.pem",
    ]
    assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) == fits


def test_certificates_are_not_replaced(folder):
    with pytest.raises(OutputError, match="already"):
        write_certificates(folder)


def test_what_is_missing_or_open_to_others_is_refused(folder, tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(UsageError, match="worker of a lab needs") as caught:
        security_of("worker", tmp_path)
    assert "nagsdk lab certificates" in caught.value.next_step
    if sys.platform != "win32":
        own = tmp_path / "own"
        write_certificates(own)
        (own / "client-key.pem").chmod(0o644)
        with pytest.raises(UsageError, match="Others may read"):
            security_of("client", own)
