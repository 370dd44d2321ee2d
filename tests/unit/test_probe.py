"""One request and its answer, against real sockets that behave well and badly."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostel import localca, ports
from hostel.machine import Machine
from hostel.probe import NotListening, Unanswered, ask, probe

OK = b"HTTP/1.1 200 Fine\r\nX-One: a\r\nX-One: b\r\nContent-Length: 5\r\n\r\nhello"


@contextmanager
def server(
    answer: bytes | Callable[[socket.socket], None], context: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """Answers every connection with these bytes once the request's head has come."""
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                    heard.append(connection.recv(65536))
                    if callable(answer):
                        answer(connection)
                    else:
                        connection.sendall(answer)
                except OSError:
                    pass
                finally:
                    connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> localca.Authority:
    return localca.ensure(tmp_path_factory.mktemp("ca"), Machine())


@pytest.fixture(scope="module")
def tls(authority: localca.Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    pem = tmp_path_factory.mktemp("leaf") / "leaf.pem"
    pem.write_bytes(localca.leaf(authority, ("site.example",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_an_answer_is_told_whole() -> None:
    with server(OK) as (port, heard):
        answer = ask("127.0.0.1", port, "site.example", "/a%2Fb?c", authority=None, agent="me/1")
    assert (answer.status, answer.reason, answer.body_start) == (200, "Fine", b"hello")
    assert answer.header("x-one") == "a"
    assert answer.headers.count(("X-One", "b")) == 1
    assert heard[0].startswith(b"GET /a%2Fb?c HTTP/1.1\r\n")
    assert f"Host: site.example:{port}\r\n".encode() in heard[0]
    assert b"User-Agent: me/1\r\n" in heard[0]


def test_tls_is_verified_for_the_name_and_not_the_address(
    authority: localca.Authority, tls: ssl.SSLContext
) -> None:
    with server(OK, tls) as (port, _):
        answer = ask("127.0.0.1", port, "site.example", "/", authority=authority.cert_path)
    assert answer.status == 200


def test_a_certificate_for_another_name_is_no_answer(
    authority: localca.Authority, tls: ssl.SSLContext
) -> None:
    with server(OK, tls) as (port, _), pytest.raises(Unanswered, match="certificate is not good"):
        ask("127.0.0.1", port, "other.example", "/", authority=authority.cert_path)


def test_a_certificate_of_another_authority_is_no_answer(
    tmp_path: Path, tls: ssl.SSLContext
) -> None:
    other = localca.ensure(tmp_path / "ca", Machine())
    with server(OK, tls) as (port, _), pytest.raises(Unanswered, match="certificate is not good"):
        ask("127.0.0.1", port, "site.example", "/", authority=other.cert_path)


def test_plain_http_where_tls_was_expected_is_said_to_be_so(authority: localca.Authority) -> None:
    with server(OK) as (port, _), pytest.raises(Unanswered, match="TLS failed"):
        ask("127.0.0.1", port, "site.example", "/", authority=authority.cert_path)


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unanswered, match=r"gone\.crt"):
        ask("127.0.0.1", 1, "site.example", "/", authority=tmp_path / "gone.crt")


@pytest.mark.parametrize(
    ("answer", "happened"),
    [
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 banana\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "does not speak HTTP"),
    ],
)
def test_what_is_no_http_is_said_to_be_none(answer: bytes, happened: str) -> None:
    with server(answer) as (port, _), pytest.raises(Unanswered, match=happened):
        ask("127.0.0.1", port, "site.example", "/", authority=None)


def test_silence_ends_with_the_timeout() -> None:
    with (
        server(lambda _connection: time.sleep(1)) as (port, _),
        pytest.raises(Unanswered, match=r"no answer within 0\.2 s"),
    ):
        ask("127.0.0.1", port, "site.example", "/", authority=None, timeout=0.2)


def test_a_body_that_never_ends_is_cut() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.02)

    with server(drip) as (port, _):
        answer = ask("127.0.0.1", port, "site.example", "/", authority=None, timeout=0.3)
    assert answer.status == 200
    assert set(answer.body_start) == {ord("x")}


def test_of_a_large_body_only_the_start_is_kept() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"y" * 3_000_000
    with server(body) as (port, _):
        answer = ask("127.0.0.1", port, "site.example", "/", authority=None)
    assert answer.body_start == b"y" * 65536


@pytest.mark.parametrize("path", ["/a b", "/a\r\nHost: evil", "/\u20ac"])
def test_a_path_that_is_no_target_is_refused(path: str) -> None:
    with server(OK) as (port, _), pytest.raises(Unanswered):
        ask("127.0.0.1", port, "site.example", path, authority=None)


def test_nothing_listening_is_told_apart() -> None:
    with pytest.raises(NotListening):
        ask("127.0.0.1", ports.free_port(), "site.example", "/", authority=None)


def test_it_waits_for_a_server_that_is_just_starting() -> None:
    port, listeners = ports.free_port(), []

    def start_late() -> None:
        time.sleep(0.2)
        listener = socket.create_server(("127.0.0.1", port))
        listeners.append(listener)
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(OK)

    thread = threading.Thread(target=start_late)
    thread.start()
    assert probe("127.0.0.1", port, "site.example", "/", None, timeout=10).status == 200
    thread.join()
    listeners[0].close()


def test_it_gives_up_at_once_when_the_server_has_died() -> None:
    asked = iter([True, True, False])
    with pytest.raises(Unanswered, match="the server ended"):
        probe("127.0.0.1", ports.free_port(), "site.example", "/", None, 60, lambda: next(asked))


def test_it_gives_up_at_the_deadline() -> None:
    with pytest.raises(NotListening):
        probe("127.0.0.1", ports.free_port(), "site.example", "/", None, timeout=0.1)
