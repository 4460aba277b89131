"""The local certificate authority: made on first use, it signs the certificate that signs files.

    $FILMWRIGHT_HOME/credentials   the folder, 0700
        authority.pem              the root certificate, to be given to whoever shall trust this studio
        authority.key              its key, 0600
        signer.pem                 key and certificate of the signer, 0600, renewed in time

EC P-256 and ES256 throughout; the signer's certificate has the profile that C2PA 2.2 asks for (section 14.5): an end
entity, digital signature only, with the extended key usages for e-mail protection and for C2PA claims. There is no
time-stamp authority, because that needs a network: a file verifies while the certificate lives that signed it. So a
signer is renewed when half of its ten years are over, and every file verifies for at least five.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from filmwright.spec.errors import CredentialsError
from filmwright.spec.home import home

__all__ = ["Authority", "credentials_folder", "open_authority", "root_of"]

ROOT, ROOT_KEY, SIGNER, LOCK = "authority.pem", "authority.key", "signer.pem", "lock"
ROOT_DAYS, SIGNER_DAYS = 30 * 365, 10 * 365
C2PA_CLAIM = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
MAX_STUDIO = 64  # letters that a certificate's organisation may have (X.520)
BEFORE = dt.timedelta(minutes=10)  # clocks of two machines differ
SCALAR = 32  # bytes of each half of an ES256 signature


@dataclass(frozen=True, kw_only=True)
class Authority:
    """What a file is signed with: `name` is who it says to be, `root` a certificate in PEM, `chain` signer and root."""

    name: str
    root: str
    chain: str
    key: ec.EllipticCurvePrivateKey

    def sign(self, data: bytes) -> bytes:
        """ES256: both halves of the signature, 32 bytes each (RFC 9053, section 2.1)."""
        halves = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return b"".join(half.to_bytes(SCALAR, "big") for half in halves)


def credentials_folder() -> Path:
    """Where the keys lie, or will."""
    return home() / "credentials"


def open_authority(*, now: dt.datetime | None = None) -> Authority:
    """This machine's authority, made if there is none; its signer is renewed in time.

    Raises:
        CredentialsError: keys that others can read, that are damaged, or that cannot be written.
    """
    folder, now = credentials_folder(), now or dt.datetime.now(dt.UTC)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_mode(folder, 0o700)
        with _locked(folder / LOCK):
            return _opened(folder, now)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CredentialsError(
            f"cannot keep signing keys in {folder}: {reason}; set FILMWRIGHT_HOME, or leave signing out (--no-sign)"
        ) from error


def root_of(folder: Path) -> str | None:
    """The root certificate in `folder` (PEM), or None where no authority was made yet."""
    path = folder / ROOT
    try:
        text = path.read_text("ascii") if path.exists() else None
        if text is not None:
            x509.load_pem_x509_certificate(text.encode())
    except (OSError, ValueError) as error:
        raise CredentialsError(f"the certificate {path} cannot be read: {_short(error)}") from error
    return text


def _opened(folder: Path, now: dt.datetime) -> Authority:
    root_path, key_path, signer_path = (folder / name for name in (ROOT, ROOT_KEY, SIGNER))
    if not root_path.exists():
        _make_root(root_path, key_path, now)
    root_text = root_of(folder)
    assert root_text is not None
    root = x509.load_pem_x509_certificate(root_text.encode())
    if not signer_path.exists() or _is_old(_read_signer(signer_path)[1], now):
        _make_signer(signer_path, root, _read_key(key_path), now)
    key, certificate = _read_signer(signer_path)
    return Authority(
        name=_common_name(certificate), root=root_text, chain=_pem(certificate) + root_text, key=key
    )


def _make_root(path: Path, key_path: Path, now: dt.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = _name(f"local authority {serial & 0xFFFFFFFF:08x}")
    days = dt.timedelta(days=ROOT_DAYS)
    certificate = (
        _builder(name, name, key.public_key(), serial, now, now + days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_path, _key_bytes(key), 0o600)
    _write(path, _pem(certificate).encode(), 0o644)  # last: it says that the authority is there


def _make_signer(
    path: Path, root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, now: dt.datetime
) -> None:
    if root.not_valid_after_utc <= now:
        raise CredentialsError(
            f"the certificate authority in {path.parent} has expired: move that folder away, and a new one is made"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    identity = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    serial = x509.random_serial_number()
    until = min(now + dt.timedelta(days=SIGNER_DAYS), root.not_valid_after_utc)
    certificate = (
        _builder(
            _name(f"signer {_common_name(root).rpartition(' ')[2]}"),
            root.subject,
            key.public_key(),
            serial,
            now,
            until,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION, C2PA_CLAIM]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    _write(path, _key_bytes(key) + _pem(certificate).encode(), 0o600)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    now: dt.datetime,
    until: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - BEFORE)
        .not_valid_after(until)
    )


def _name(role: str) -> x509.Name:
    """Who signs: $FILMWRIGHT_STUDIO, else Filmwright; never the name of the user or the machine."""
    studio = " ".join(os.environ.get("FILMWRIGHT_STUDIO", "").split())[:MAX_STUDIO] or "Filmwright"
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, studio),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{studio[: MAX_STUDIO - 26]} {role}"),
        ]
    )


def _common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _is_old(certificate: x509.Certificate, now: dt.datetime) -> bool:
    begun, ended = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now < begun or now > begun + (ended - begun) / 2


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    _check_mode(path, 0o600)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsError(
            f"the signing key {path} is damaged: move {path.parent} away, and a new authority is made"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CredentialsError(
            f"the signing key {path} is not EC P-256: move {path.parent} away, and a new authority is made"
        )
    return key


def _read_signer(path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = _read_key(path)
    try:
        return key, x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise CredentialsError(
            f"the certificate in {path} is damaged: remove it, and it is renewed"
        ) from error


def _check_mode(path: Path, wanted: int) -> None:
    """Raises CredentialsError where anybody but the user could read or change `path`."""
    if not path.exists():
        raise CredentialsError(
            f"the signing key {path} is missing: move {path.parent} away, and a new authority is made"
        )
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise CredentialsError(f"{path} is a link: signing keys must lie in their folder themselves")
    if state.st_uid != os.getuid():
        raise CredentialsError(f"{path} belongs to another user: signing keys must be yours alone")
    if (mode := stat.S_IMODE(state.st_mode)) & 0o077:
        raise CredentialsError(
            f"{path} can be read or changed by others (mode {mode:04o}): chmod {wanted:04o} {path}"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two processes that sign for the first time make one authority."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, content: bytes, mode: int) -> None:
    """A file that is whole or not there, and never readable by others before its mode is set."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _short(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "it is damaged").lower()
