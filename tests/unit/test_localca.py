"""The local certificate authority, judged by OpenSSL and by a real TLS handshake."""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hostel import certificate, localca
from hostel.errors import HostelError
from hostel.machine import Machine

NAMES = ("guestbook.example.com", "bücher.example", "localhost", "*.localhost", "127.0.0.1", "::1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data dir" / "ca"


@pytest.fixture
def authority(folder: Path) -> localca.Authority:
    return localca.ensure(folder, Machine())


def openssl(*argv: object) -> str:
    done = subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_it_is_made_once_and_only_its_user_can_read_it(folder: Path) -> None:
    first = localca.ensure(folder, Machine())
    assert localca.ensure(folder, Machine()) == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(first)


def test_many_at_once_make_one(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: localca.ensure(folder, Machine()), range(16)))
    assert len({one.cert_pem for one in made}) == 1


def test_an_open_folder_is_closed_again(folder: Path, authority: localca.Authority) -> None:
    folder.chmod(0o755)
    localca.ensure(folder, Machine())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_openssl_accepts_authority_and_leaf_strictly(
    tmp_path: Path, authority: localca.Authority
) -> None:
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(localca.leaf(authority, NAMES))
    for name in ("guestbook.example.com", "xn--bcher-kva.example"):
        said = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name,
                       "-CAfile", authority.cert_path, leaf)  # fmt: skip
        assert said.strip() == f"{leaf}: OK"
    for address in ("127.0.0.1", "::1"):
        said = openssl("verify", "-verify_ip", address, "-CAfile", authority.cert_path, leaf)
        assert said.strip() == f"{leaf}: OK"
    said = openssl("verify", "-verify_hostname", "other.example", "-CAfile", authority.cert_path,
                   leaf)  # fmt: skip
    assert "hostname mismatch" in said.lower()


def test_a_leaf_is_for_servers_and_lives_at_most_397_days(authority: localca.Authority) -> None:
    from cryptography import x509

    pem = localca.leaf(authority, NAMES)
    assert pem.count(b"-----BEGIN ") == 2
    cert = x509.load_pem_x509_certificate(pem)
    assert cert.not_valid_after_utc - cert.not_valid_before_utc <= timedelta(days=397)
    usage = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize("name", ["localhost", "bücher.example", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_authority_shakes_hands(
    name: str, tmp_path: Path, authority: localca.Authority
) -> None:
    pem = tmp_path / "leaf.pem"
    pem.write_bytes(localca.leaf(authority, NAMES))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cafile=authority.cert_path)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    here, there = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(there, server_side=True) as secured:
            secured.sendall(secured.recv(5))

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(here, server_hostname=name) as secured:
        secured.sendall(b"hello")
        assert secured.recv(5) == b"hello"
    thread.join()


def test_a_fresh_leaf_is_good_until_thirty_days_before_its_end(
    authority: localca.Authority,
) -> None:
    pem, now = localca.leaf(authority, NAMES), datetime.now(UTC)
    assert localca.still_good(pem, NAMES, authority)
    assert localca.still_good(pem, tuple(reversed(NAMES)), authority)
    assert localca.still_good(pem, NAMES, authority, now + timedelta(days=366))
    assert not localca.still_good(pem, NAMES, authority, now + timedelta(days=368))
    assert not localca.still_good(pem, NAMES, authority, now - timedelta(days=1))


def test_a_leaf_for_more_or_fewer_names_is_not_good(authority: localca.Authority) -> None:
    pem = localca.leaf(authority, NAMES)
    assert not localca.still_good(pem, NAMES[1:], authority)
    assert not localca.still_good(pem, (*NAMES, "new.example"), authority)


def test_a_leaf_of_another_authority_is_not_good_though_it_has_the_same_name(
    tmp_path: Path, authority: localca.Authority
) -> None:
    other = localca.ensure(tmp_path / "other", Machine())
    assert not localca.still_good(localca.leaf(other, NAMES), NAMES, authority)


def test_a_leaf_with_the_key_of_another_is_not_good(authority: localca.Authority) -> None:
    one, two = localca.leaf(authority, NAMES), localca.leaf(authority, NAMES)
    mark = b"-----BEGIN CERTIFICATE-----"
    mixed = one[: one.index(mark)] + two[two.index(mark) :]
    assert not localca.still_good(mixed, NAMES, authority)


@pytest.mark.parametrize("pem", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_is_not_good(pem: bytes, authority: localca.Authority) -> None:
    assert not localca.still_good(pem, NAMES, authority)


def test_a_leaf_cut_short_is_not_good(authority: localca.Authority) -> None:
    pem = localca.leaf(authority, NAMES)
    assert not any(
        localca.still_good(pem[:end], NAMES, authority) for end in range(0, len(pem) - 30, 37)
    )


def test_a_key_without_a_certificate_is_made_anew(
    folder: Path, authority: localca.Authority
) -> None:
    authority.cert_path.unlink()
    assert localca.load(folder, Machine()) is None
    assert localca.ensure(folder, Machine()).key_pem != authority.key_pem


def test_an_authority_near_its_end_is_made_anew(
    folder: Path, authority: localca.Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localca, "CA_LEAST_DAYS", localca.CA_DAYS + 1)
    assert localca.ensure(folder, Machine()).cert_pem != authority.cert_pem


def test_a_leaf_ends_with_its_authority(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localca, "CA_DAYS", 100)
    authority = localca.ensure(folder, Machine())
    assert certificate.facts(localca.leaf(authority, NAMES)).days_left <= 99


def test_a_certificate_without_its_key_is_an_error_that_says_what_to_do(
    folder: Path, authority: localca.Authority
) -> None:
    (folder / "ca.key").unlink()
    with pytest.raises(HostelError) as caught:
        localca.ensure(folder, Machine())
    assert "ca.key" in caught.value.happened
    assert "hostel cert trust" in caught.value.remedy
    assert authority.cert_path.read_bytes() == authority.cert_pem


@pytest.mark.parametrize("name", ["ca.key", "ca.crt"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_damaged_file_is_named(
    name: str, content: bytes, folder: Path, authority: localca.Authority
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(HostelError, match=name):
        localca.ensure(folder, Machine())


def test_a_key_of_another_authority_is_an_error(
    tmp_path: Path, folder: Path, authority: localca.Authority
) -> None:
    other = localca.ensure(tmp_path / "other", Machine())
    (folder / "ca.key").write_bytes(other.key_pem)
    with pytest.raises(HostelError, match="does not belong"):
        localca.ensure(folder, Machine())


def test_a_leaf_in_the_place_of_the_authority_is_an_error(
    folder: Path, authority: localca.Authority
) -> None:
    authority.cert_path.write_bytes(localca.leaf(authority, NAMES))
    with pytest.raises(HostelError, match="not that of an authority"):
        localca.ensure(folder, Machine())


def test_facts_say_what_openssl_says(authority: localca.Authority) -> None:
    facts = certificate.facts(authority.cert_pem)
    said = openssl("x509", "-in", authority.cert_path, "-noout", "-fingerprint", "-sha256")
    assert said.strip().partition("=")[2] == facts.sha256
    assert localca.common_name(Machine()) in facts.subject
    assert 3640 < facts.days_left < 3650
