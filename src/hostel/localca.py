"""A certificate authority of this user's own, so that HTTPS on a laptop is real HTTPS.

Makes the authority once, signs leaves, and judges whether a leaf is still good. Whether anyone
trusts the authority is `hostel.trust`'s matter; nothing here touches a trust store.

What happens to an authority that is not whole:

- a key without a certificate is made anew: nobody can have trusted what never existed;
- an expired one (or one with less than 60 days left) is made anew: its trust ends anyway;
- anything else (a certificate without its key, one that does not fit, files that cannot be
  read) is an error: people may trust that certificate, and only they know where the key went.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hostel import certificate
from hostel.errors import Busy, HostelError
from hostel.machine import Machine, remedy_for

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CA_DAYS = 3650
CA_LEAST_DAYS = 60
LEAF_DAYS = 397
"""What browsers take at most from any authority."""
LEAF_LEAST_DAYS = 30
SKEW = timedelta(hours=1)
"""How far the clock of a container or a virtual machine may lag behind."""

DOING = "reading the local certificate authority"


@dataclass(frozen=True)
class Authority:
    """The local CA. `key_pem` signs; it never leaves this process but to its own file."""

    cert_pem: bytes
    cert_path: Path
    key_pem: bytes = field(repr=False)

    @property
    def certificate(self) -> x509.Certificate:
        from cryptography import x509

        return x509.load_pem_x509_certificate(self.cert_pem)

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return certificate.private_key(self.key_pem)


def default_folder() -> Path:
    """Where this user's authority lies; the folder may not exist yet."""
    import platformdirs

    return platformdirs.user_data_path("hostel") / "ca"


def load(folder: Path, machine: Machine) -> Authority | None:
    """The authority in `folder`; None when there is none, or none worth keeping.

    Raises HostelError when it is damaged in a way that a person has to decide about.
    """
    cert_pem = _read(folder / "ca.crt", machine)
    key_pem = _read(folder / "ca.key", machine)
    if cert_pem is None:
        return None
    authority = Authority(cert_pem, folder / "ca.crt", key_pem or b"")
    cert = _parsed(authority)
    if (cert.not_valid_after_utc - datetime.now(UTC)).days < CA_LEAST_DAYS:
        return None
    if key_pem is None:
        raise _damaged(folder, "its certificate is there, its key (ca.key) is not")
    try:
        fits = certificate.spki(authority.key.public_key()) == certificate.spki(cert.public_key())
    except ValueError as error:
        raise _damaged(folder, f"its key (ca.key) cannot be read: {error}") from error
    if not fits:
        raise _damaged(folder, "its key does not belong to its certificate")
    return authority


def ensure(folder: Path, machine: Machine) -> Authority:
    """The authority in `folder`, made now if there is none; safe to call from many at once."""
    machine.make_folder(folder, 0o700)
    # Another run may be half-way through making it: what looks damaged here is judged again
    # under the lock.
    with contextlib.suppress(HostelError):
        found = load(folder, machine)
        if found is not None:
            return found
    with _locked(folder):
        return load(folder, machine) or _make(folder, machine)


def leaf(authority: Authority, names: tuple[str, ...]) -> bytes:
    """A new key and a certificate for exactly these names and addresses, as one PEM text."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer = authority.certificate
    key = ec.generate_private_key(ec.SECP256R1())
    begins = datetime.now(UTC) - SKEW
    ends = min(begins + timedelta(days=LEAF_DAYS), issuer.not_valid_after_utc)
    asked = tuple(dict.fromkeys(certificate.general_name(name) for name in names))
    builder = (
        certificate.builder(
            certificate.subject(str(asked[0].value)), key.public_key(), begins, ends
        )
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(asked), critical=False)
        .add_extension(certificate.usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(certificate.authority_id(issuer), critical=False)
    )
    return certificate.key_pem(key) + certificate.cert_pem(
        builder.sign(authority.key, hashes.SHA256())
    )


def still_good(
    pem: bytes, names: tuple[str, ...], authority: Authority, now: datetime | None = None
) -> bool:
    """Whether a leaf can serve on: these names and no others, this CA, its own key, > 30 days."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    now = now or datetime.now(UTC)
    try:
        (cert,) = x509.load_pem_x509_certificates(pem)
        covered = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if set(covered) != {certificate.general_name(name) for name in names}:
            return False
        if certificate.spki(certificate.private_key(pem).public_key()) != certificate.spki(
            cert.public_key()
        ):
            return False
        cert.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    left = cert.not_valid_after_utc - now
    return cert.not_valid_before_utc <= now and left > timedelta(days=LEAF_LEAST_DAYS)


def common_name(machine: Machine) -> str:
    """What this user's authority on this machine is called; 64 characters at most (X.520)."""
    import platform

    return f"Hostel local CA ({machine.me.name}@{platform.node()})"[:64]


# -- within ---------------------------------------------------------------------------------


def _make(folder: Path, machine: Machine) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    begins = datetime.now(UTC) - timedelta(days=1)
    subject = certificate.subject(common_name(machine))
    builder = (
        certificate.builder(subject, key.public_key(), begins, begins + timedelta(days=CA_DAYS))
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(certificate.usage(signs_certificates=True), critical=True)
    )
    made = Authority(
        certificate.cert_pem(builder.sign(key, hashes.SHA256())),
        folder / "ca.crt",
        certificate.key_pem(key),
    )
    # The old certificate goes first and the new one comes last: a run killed in between leaves
    # a key without a certificate, which is made anew.
    machine.remove(made.cert_path)
    machine.write(folder / "ca.key", made.key_pem, 0o600, machine.me)
    machine.write(made.cert_path, made.cert_pem, 0o644, machine.me)
    return made


def _parsed(authority: Authority) -> x509.Certificate:
    from cryptography import x509

    folder = authority.cert_path.parent
    try:
        cert = authority.certificate
        constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise _damaged(folder, f"its certificate (ca.crt) cannot be read: {error}") from error
    if not constraints.ca:
        raise _damaged(folder, "its certificate (ca.crt) is not that of an authority")
    return cert


def _read(path: Path, machine: Machine) -> bytes | None:
    try:
        return machine.read(path)
    except OSError as error:
        raise HostelError(DOING, f"{path}: {error.strerror}", remedy_for(error)) from error


def _damaged(folder: Path, happened: str) -> HostelError:
    import shlex

    old, aside = shlex.quote(str(folder)), shlex.quote(f"{folder}.damaged")
    return HostelError(
        DOING,
        f"{happened} ({folder})",
        f"Put the missing file back, or start anew: hostel cert untrust; mv {old} {aside}; "
        "hostel cert trust",
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    import filelock

    try:
        with filelock.FileLock(folder / "lock", timeout=20, mode=0o600):
            yield
    except filelock.Timeout:
        raise Busy(
            "making the local certificate authority",
            f"another hostel has held {folder / 'lock'} for 20 s",
            "Wait for it to end, then run this again.",
        ) from None
    except OSError as error:
        raise HostelError(
            "making the local certificate authority",
            f"{error.filename or folder}: {error.strerror}",
            remedy_for(error),
        ) from error
