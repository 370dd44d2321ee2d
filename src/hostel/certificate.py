"""X.509 certificates and their keys: built, written as PEM, read and described. Pure.

Knows no files, no authority and no trust; imports cryptography only when it is needed.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes


@dataclass(frozen=True)
class CertFacts:
    """What people and programs want to know of a certificate."""

    subject: str
    names: tuple[str, ...]
    sha256: str
    not_after: datetime
    days_left: int


def facts(pem: bytes, now: datetime | None = None) -> CertFacts:
    """What the (first) certificate in a PEM text says. Raises ValueError where there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    cert = x509.load_pem_x509_certificates(pem)[0]
    try:
        san = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(name.value) for name in san)
    except x509.ExtensionNotFound:
        names = ()
    return CertFacts(
        subject=cert.subject.rfc4514_string(),
        names=names,
        sha256=cert.fingerprint(hashes.SHA256()).hex(":").upper(),
        not_after=cert.not_valid_after_utc,
        days_left=(cert.not_valid_after_utc - (now or datetime.now(UTC))).days,
    )


def builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    """What every certificate of ours has; its issuer and its purpose are for the caller."""
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def subject(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hostel"),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
        ]
    )


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def authority_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    from cryptography import x509

    key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)


def general_name(name: str) -> x509.DNSName | x509.IPAddress:
    """A host name (IDNA where it is not ASCII) or an address, as a certificate holds it.

    Raises ValueError for what is neither.
    """
    from cryptography import x509

    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    ascii_form = name if name.isascii() else name.encode("idna").decode("ascii")
    return x509.DNSName(ascii_form.lower())


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError for anything but a plain EC key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("it is no EC key")
    return key


def spki(key: CertificatePublicKeyTypes) -> bytes:
    """What two keys have in common when they are one: the public part, as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def cert_pem(cert: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return cert.public_bytes(Encoding.PEM)
