"""What stands between mod_wsgi and an app: the path as it was sent, answers as they are."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.boot.faithful import Short, faithful, hang_up, sent_path


@pytest.mark.parametrize(
    ("target", "seen", "path"),
    [
        ("//a///b", "/a/b", "//a///b"),
        ("/a%2F%2fb?c=//", "/a/b", "/a//b"),
        ("/a/%252F//", "/a/%2F/", "/a/%2F//"),
        ("https://host//a%2F?b", "/a/", "//a/"),
        ("https://host?a=%2F", "/", "/"),
        ("/\xc3\xbc//%C3", "/\xc3\xbc/\xc3", "/\xc3\xbc//\xc3"),
        ("/", "/", "/"),
    ],
)
def test_the_path_has_the_slashes_that_were_sent(target: str, seen: str, path: str) -> None:
    assert sent_path(target, seen) == path


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/a//../b", "/b"),
        ("//a/./b%2F", "/a/b/"),
        ("/mounted//a", "/a"),
        ("*", "/"),
        ("", "/a"),
        ("//a", ""),
        ("/%zz//", "/a/"),
    ],
)
def test_a_path_that_httpd_saw_otherwise_stays_as_httpd_saw_it(target: str, seen: str) -> None:
    assert sent_path(target, seen) == seen


@given(st.lists(st.binary(max_size=4), min_size=1), st.text("ab=/%&?"))
def test_any_path_is_found_again(parts: list[bytes], query: str) -> None:
    path = b"/" + b"/".join(parts)
    seen = path
    while b"//" in seen:
        seen = seen.replace(b"//", b"/")
    target = f"{quote_from_bytes(path)}?{query}"
    assert sent_path(target, seen.decode("latin-1")) == path.decode("latin-1")


def environ(method: str = "GET", target: str = "/", **more: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": method, "REQUEST_URI": target, "PATH_INFO": "/", **more}


class Answer:
    """An iterable of pieces that fails after them, if told, and knows whether it was closed."""

    def __init__(self, *pieces: bytes, fails: bool = False) -> None:
        self.pieces = pieces
        self.fails = fails
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.fails:
            raise LookupError

    def close(self) -> None:
        self.closed += 1


def asked(
    answer: Any,
    method: str = "GET",
    said: tuple[str, int | None] = ("200 OK", None),
    writes: tuple[bytes, ...] = (),
    **more: str,
) -> Any:
    """What the wrapper gives for an app that writes these pieces, then returns this answer."""

    def app(_environ: Any, start_response: Any) -> Any:
        status, length = said
        headers = [("X-A", "1")] if length is None else [("content-LENGTH", str(length))]
        write = start_response(status, headers)
        for piece in writes:
            write(piece)
        return answer

    written: list[bytes] = []
    return faithful(app)(environ(method, **more), lambda *_: written.append), written


def test_pieces_pass_one_by_one_and_the_answer_is_closed() -> None:
    answer = Answer(b"a", b"b")
    got, written = asked(answer, writes=(b"written",))
    assert (list(got), written) == ([b"a", b"b"], [b"written"])
    got.close()
    assert answer.closed == 1


def test_a_list_is_given_on_as_it_is() -> None:
    pieces = [b"a"]
    assert asked(pieces)[0] is pieces


def test_a_list_as_long_as_it_was_said_to_be_is_given_on_as_it_is() -> None:
    pieces = [b"a", b"bc"]
    assert asked(pieces, said=("200 OK", 10), writes=(b"written",))[0] is pieces


@pytest.mark.parametrize("answer", [[b"a"], (b"a",), Answer(b"a")], ids=["list", "tuple", "other"])
def test_an_answer_shorter_than_it_was_said_to_be_takes_its_connection_with_it(
    pair: tuple[socket.socket, socket.socket], answer: Any
) -> None:
    server, client = pair
    got, _ = asked(answer, said=("200 OK", 9), writes=(b"written",), **ends(server))
    pieces = iter(got)
    assert next(pieces) == b"a"
    with pytest.raises(Short, match="8 bytes of the 9"):
        next(pieces)
    assert client.recv(1) == b""


@pytest.mark.parametrize("answer", [[], Answer(b"")], ids=["list", "other"])
def test_an_answer_that_was_said_to_have_a_body_and_has_none_is_an_error(answer: Any) -> None:
    """Nothing of it is sent yet, so that the client can be told."""

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "1")])
        return answer

    with pytest.raises(Short, match="0 bytes of the 1"):
        list(faithful(app)(environ(), lambda *_: None))


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 None")]
)
def test_where_there_is_no_body_its_length_may_be_said(method: str, status: str) -> None:
    got, _ = asked(Answer(), method, said=(status, 99))
    assert list(got) == []


def test_what_was_said_last_counts() -> None:
    """As where an app says it anew because it has failed."""

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "9")])
        start_response("500 Oh", [("Content-Length", "2")], (None, None, None))
        return Answer(b"ab")

    assert list(faithful(app)(environ(), lambda *_: None)) == [b"ab"]


def failing(*written: bytes) -> Any:
    def app(_environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        for piece in written:
            write(piece)
        raise LookupError

    return faithful(app)


def test_an_app_that_has_written_and_fails_takes_its_connection_with_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    server, client = pair
    with pytest.raises(LookupError):
        failing(b"a")(environ(**ends(server)), lambda *_: lambda _: None)
    assert client.recv(1) == b""


@pytest.mark.parametrize(("written", "method"), [((), "GET"), ((b"a",), "HEAD")])
def test_an_app_that_fails_before_anything_was_sent_leaves_the_connection(
    pair: tuple[socket.socket, socket.socket], written: tuple[bytes, ...], method: str
) -> None:
    server, client = pair
    with pytest.raises(LookupError):
        failing(*written)(environ(method, **ends(server)), lambda *_: lambda _: None)
    server.sendall(b"500")
    assert client.recv(3) == b"500"


def test_a_client_that_goes_away_while_the_app_writes_is_no_failure(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It may be one stream of HTTP/2, which shares its connection with others."""
    server, client = pair
    sent: list[bytes] = []

    def write(piece: bytes) -> None:
        if sent:
            raise OSError("client connection closed")
        sent.append(piece)

    with pytest.raises(OSError, match="closed"):
        failing(b"a", b"b")(environ(**ends(server)), lambda *_: write)
    server.sendall(b"on")
    assert client.recv(2) == b"on"


def test_head_has_no_body_whatever_the_app_says() -> None:
    for answer in (Answer(b"a", b"b"), [b"a"], (b"a",)):
        got, written = asked(answer, "HEAD", writes=(b"written",))
        assert (list(got), written) == ([], [])


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the server's, as httpd would hold it, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        client = socket.create_connection(door.getsockname())
        server, _ = door.accept()
    with server, client:
        client.settimeout(60)
        yield server, client


def ends(server: socket.socket, address: str = "127.0.0.1") -> dict[str, str]:
    return {
        "mod_wsgi.listener_port": str(server.getsockname()[1]),
        "REMOTE_PORT": str(server.getpeername()[1]),
        "REMOTE_ADDR": address,
    }


@pytest.mark.parametrize("address", ["127.0.0.1", "203.0.113.9"], ids=["direct", "routed"])
def test_an_answer_that_fails_in_its_middle_takes_its_connection_with_it(
    pair: tuple[socket.socket, socket.socket], address: str
) -> None:
    server, client = pair
    got, _ = asked(Answer(b"a", fails=True), **ends(server, address))
    pieces = iter(got)
    assert next(pieces) == b"a"
    with pytest.raises(LookupError):
        next(pieces)
    assert client.recv(1) == b""


@pytest.mark.parametrize("pieces", [(), (b"",)])
def test_an_answer_that_fails_before_its_first_piece_leaves_the_connection(
    pair: tuple[socket.socket, socket.socket], pieces: tuple[bytes, ...]
) -> None:
    server, client = pair
    got, _ = asked(Answer(*pieces, fails=True), **ends(server))
    with pytest.raises(LookupError):
        list(got)
    server.sendall(b"500")
    assert client.recv(3) == b"500"


def test_a_client_that_goes_away_is_no_failure(pair: tuple[socket.socket, socket.socket]) -> None:
    """mod_wsgi then takes no further piece, and closes."""
    server, client = pair
    answer = Answer(b"a", b"b")
    got, _ = asked(answer, **ends(server))
    pieces = iter(got)
    next(pieces)
    del pieces
    got.close()
    server.sendall(b"on")
    assert (client.recv(2), answer.closed) == (b"on", 1)


def test_a_connection_is_cut_though_two_descriptors_lead_to_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """As when another thread is about to cut another one: then both look at all of them."""
    server, client = pair
    with server.dup():
        hang_up(ends(server, "203.0.113.9"))
    assert client.recv(1) == b""


def test_only_that_one_connection_is_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    hang_up({**ends(server), "REMOTE_PORT": str(server.getpeername()[1] % 65535 + 1)})
    server.sendall(b"on")
    assert client.recv(2) == b"on"
