"""The certificates of a lab: its own authority, and one certificate for each of the three roles."""

from __future__ import annotations

import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.common.config import value
from nagsdk.errors import DeviceUnavailableError, OutputError, UsageError

if TYPE_CHECKING:
    from distributed.security import Security

SCHEDULER, WORKER, CLIENT = ROLES = ("scheduler", "worker", "client")
AUTHORITY = "ca.pem"
_AUTHORITY_KEY = "ca-key.pem"
_DAYS = 730
_INSTALL = "Install it: pip install 'nagsdk[lab]'."


def folder_in_use() -> Path:
    """The folder of the setting ``lab_certificates``."""
    return Path(value("lab_certificates"))


def write_certificates(folder: Path) -> list[Path]:
    """Makes an authority and certificates for scheduler, workers and clients; private keys only their owner may read.

    Args:
        folder: Where to write them; created if missing.

    Raises:
        OutputError: There are certificates already, or the folder cannot be written.
        DeviceUnavailableError: The package cryptography is missing.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise DeviceUnavailableError("The package cryptography is missing.", _INSTALL) from error
    if (folder / AUTHORITY).exists():
        raise OutputError(
            f"{folder} holds the certificates of a lab already.",
            "Copy them to the hosts of the lab, or name another folder for another lab.",
        )

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"nagsdk lab: {name}")])

    def certificate(name: str, key: Any, issuer: str, issuer_key: Any, usages: list[Any]) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))  # clocks of hosts differ
            .not_valid_after(now + timedelta(days=_DAYS))
            .add_extension(x509.BasicConstraints(ca=not usages, path_length=None if usages else 0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=bool(usages),
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=not usages,
                    crl_sign=not usages,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def private(key: Any) -> bytes:
        pem: bytes = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem

    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    # A client's certificate does not make its holder a server: nobody can pose as a worker with it.
    usages = {SCHEDULER: both, WORKER: both, CLIENT: both[1:]}
    authority = ec.generate_private_key(ec.SECP256R1())
    files = {
        AUTHORITY: certificate("authority", authority, "authority", authority, []),
        _AUTHORITY_KEY: private(authority),
    }
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        files[f"{role}.pem"] = certificate(role, key, "authority", authority, usages[role])
        files[f"{role}-key.pem"] = private(key)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in files.items():
            mode = 0o600 if name.endswith("-key.pem") else 0o644
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise OutputError(
            f"The certificates cannot be written to {folder}: {error}.", "Name a folder that you may write to."
        ) from error
    return [folder / name for name in files]


def security_of(role: str, folder: Path | None = None) -> Security:
    """What dask needs to know of the certificates of a role.

    Args:
        role: One of `ROLES`.
        folder: Folder of the certificates; the one of the setting if None.

    Raises:
        UsageError: A certificate is missing, or others may read its key.
        DeviceUnavailableError: The package distributed is missing.
    """
    require_dask()
    from distributed.security import Security

    folder = folder_in_use() if folder is None else folder
    authority, certificate, key = folder / AUTHORITY, folder / f"{role}.pem", folder / f"{role}-key.pem"
    for path in (authority, certificate, key):
        if not path.is_file():
            raise UsageError(
                f"There is no {path}, which the {role} of a lab needs.",
                "Copy it from the folder that `nagsdk lab certificates DIR` made, and name its folder with "
                "--certificates or NAGSDK_LAB_CERTIFICATES.",
            )
    if sys.platform != "win32" and stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise UsageError(f"Others may read {key}, which is private.", f"Run: chmod 600 {key}")
    paths = {"tls_ca_file": str(authority), f"tls_{role}_cert": str(certificate), f"tls_{role}_key": str(key)}
    return Security(require_encryption=True, tls_min_version=_tls_1_3(), **paths)


def require_dask() -> None:
    """Raises an error if the extra ``lab`` is not installed.

    Raises:
        DeviceUnavailableError: It is not.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise DeviceUnavailableError(
            "A lab needs the package distributed (dask), which is missing.", _INSTALL
        ) from error


def _tls_1_3() -> Any:
    import ssl

    return ssl.TLSVersion.TLSv1_3
