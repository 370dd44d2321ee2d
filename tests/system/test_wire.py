"""The app sees what the client sent, and the client what the app said.

Each request is also put to the same app in this process, as PEP 3333 would have it: what the site
answers must be the same. The rules of that translation are `environ_of` and `path_of` below.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from . import echo_app
from .conftest import Hosted, place
from .wire import Cut, Endpoint, Header, Http1, Http2, Reply

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

SITE = """
app = "echo_app.py"
[server]
max_body = 150_000_000
request_timeout = 300
[static]
"/static" = "public"
[tls]
mode = "{mode}"
"""
SECRET = "for nobody"
FILES = {
    "echo_app.py": Path(echo_app.__file__).read_text(),
    "public/open.txt": "open to all",
    "public/.closed/file.txt": SECRET,
}
LARGE = 100_000_000
over_tls = pytest.mark.parametrize("site", ["local"], indirect=True)
"""For what is HTTP/2."""
each_protocol = pytest.mark.parametrize(
    ("site", "protocol"),
    [("local", "HTTP/1.1"), ("local", "HTTP/2.0"), ("off", "HTTP/1.1")],
    indirect=["site"],
)
MANY = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module", params=["local", "off"])
def site(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """The app, hosted."""
    hosted = place(request.getfixturevalue("user"), None, "wire")
    try:
        hosted.write("hostel.toml", SITE.format(mode=request.param))
        for name, text in FILES.items():
            hosted.write(name, text)
        done = hosted.up()
        assert done.returncode == 0, done.stderr
        assert list(hosted.state.rglob(".closed/file.txt")), "it is there to be found"
        yield endpoint(hosted, request.param)
    finally:
        hosted.end()
        shutil.rmtree(hosted.root.parent, ignore_errors=True)
    assert not hosted.strays()


def endpoint(hosted: Hosted, mode: str) -> Endpoint:
    port = hosted.http if mode == "off" else hosted.https

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), 120)

    trusted = None if mode == "off" else hosted.ca_text()
    return Endpoint(connect, "localhost", port, trusted, "127.0.0.1")


# -- the same in this process ---------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    framing: str = "none"
    """How the body is sent: none, length or chunks."""

    def http1(self, site: Endpoint, *more: str) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {site.name}", *more]
        lines += [f"{name}: {value}" for name, value in self.headers]
        body = self.body
        if self.framing == "length":
            lines.append(f"Content-Length: {len(body)}")
        elif self.framing == "chunks":
            lines.append("Transfer-Encoding: chunked")
            body = chunked(body)
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def over_http2(self, wire: Http2) -> Reply:
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers]
        if self.framing == "length":
            headers.append((b"content-length", str(len(self.body)).encode()))
        has_body = self.framing != "none"
        stream = wire.request(
            self.method.encode(), self.target.encode("latin-1"), headers, has_body
        )
        if has_body:
            wire.data(stream, self.body, end=True)
        return wire.reply(stream)


def chunked(body: bytes, size: int = 1000, trailers: bytes = b"") -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return framed + b"0\r\n" + trailers + b"\r\n"


def environ_of(site: Endpoint, request: Request, protocol: str) -> dict[str, Any]:
    """What an app must be told, but for the objects in it."""
    path, _, query = request.target.partition("?")
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path_of(path),
        "QUERY_STRING": query,
        "REQUEST_URI": request.target,
        "SERVER_NAME": site.host,
        "SERVER_PORT": str(site.port),
        "SERVER_PROTOCOL": protocol,
        "REMOTE_ADDR": site.remote_addr,
        "HTTP_HOST": site.name,
        "wsgi.url_scheme": site.scheme,
    }
    if request.framing == "length":
        environ["CONTENT_LENGTH"] = str(len(request.body))
    elif request.framing == "chunks":  # also what httpd makes of a body of HTTP/2
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    elif protocol == "HTTP/2.0" and "Content-Type" in dict(request.headers):
        environ["CONTENT_LENGTH"] = "0"  # httpd's word for that nothing follows
    for name, value in request.headers:
        if re.fullmatch("[A-Za-z0-9-]+", name):  # others could pass for one of these: X_A for X-A
            key = name.upper().replace("-", "_")
            key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
            value = value.strip(" \t")
            if key not in environ:
                environ[key] = value
            elif value or protocol != "HTTP/2.0":  # where httpd leaves empty ones out
                environ[key] += f", {value}"
    return environ


def path_of(path: str) -> str:
    """PATH_INFO: decoded, else as sent. Only where it holds segments of dots, httpd has resolved
    them, before and after decoding, and made one slash of several."""
    plain = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    resolved = resolve(re.sub("%[0-9A-Fa-f]{2}", unreserved, path))
    resolved = unquote_to_bytes(resolved.encode("latin-1")).decode("latin-1")
    resolved = resolve(resolved)
    return plain if re.sub("//+", "/", plain) == resolved else resolved


def unreserved(escape: re.Match[str]) -> str:
    char = chr(int(escape[0][1:], 16))
    return char if re.fullmatch("[A-Za-z0-9._~-]", char) else escape[0]


def resolve(path: str) -> str:
    found: list[str] = []
    parts = re.sub("//+", "/", path).split("/")[1:]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "..":
            del found[-1:]
        if part in (".", ".."):
            found += [""] if last else []
        else:
            found.append(part)
    return "/" + "/".join(found)


def in_process(environ: dict[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """The app's answer to this."""
    said: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[..., Any]:
        said[:] = [status, headers]
        return written.append

    whole = {
        **environ,
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of methods that are new to it
        answer = echo_app.application(whole, start_response)
        try:
            pieces = list(answer)
        finally:
            answer.close()
    return said[0], said[1], b"".join(written + pieces)


ADDED = {
    b"date", b"server", b"x-content-type-options", b"referrer-policy", b"content-length",
    b"transfer-encoding", b"connection", b"keep-alive", b"upgrade",
}  # fmt: skip
"""Headers of an answer that are not the app's."""


def same(site: Endpoint, request: Request, protocol: str, reply: Reply) -> None:
    """The reply says what the app says to this request in this process."""
    environ = environ_of(site, request, protocol)
    status, headers, body = in_process(environ, request.body)
    code, _, reason = status.partition(" ")
    assert reply.status == int(code)
    if protocol != "HTTP/2.0":
        assert reply.reason == reason.encode("latin-1")
    for name in {name.lower().encode() for name, _ in headers}:
        wanted = [value.encode("latin-1") for one, value in headers if one.lower().encode() == name]
        if request.method != "HEAD" or wanted != [b"0"]:  # which httpd does not say
            assert reply.all(name) == wanted
    own = {name.lower().encode() for name, _ in headers}
    assert {name.lower() for name, _ in reply.headers} - own <= ADDED
    if request.method == "HEAD" or reply.status in (204, 304):
        assert reply.body == b""
    elif body.startswith(b'{"REQUEST_METHOD"'):
        told_the_same(json.loads(body), json.loads(reply.body))
    else:
        assert reply.body == body


def told_the_same(wanted: dict[str, Any], got: dict[str, Any]) -> None:
    assert {name: got.get(name) for name in wanted} == wanted
    sent = re.compile("HTTP_|CONTENT_(TYPE|LENGTH)$")
    assert {name for name in got if sent.match(name)} == {
        name for name in wanted if sent.match(name)
    }


def told(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply
    return dict(json.loads(reply.body))


def do(**what: Any) -> tuple[str, str]:
    return "X-Do", json.dumps(what)


TYPE = ["Content-Type", "text/plain"]
Wire = TypeVar("Wire", Http1, Http2)


@pytest.fixture(scope="module")
def clients(site: Endpoint) -> Iterator[Clients]:
    made = Clients(site)
    yield made
    made.close()


class Clients:
    """Connections that are used for one request after the other for as long as they last."""

    def __init__(self, site: Endpoint) -> None:
        self.site = site
        self.wires: dict[str, Http1 | Http2] = {}
        self.used: dict[str, float] = {}
        self.reused = 0

    def over_http1(self, request: Request) -> Reply:
        with self._wire("HTTP/1.1", Http1) as wire:
            wire.send(request.http1(self.site))
            reply = wire.reply(request.method.encode())
        if reply.closes:
            self._drop("HTTP/1.1")
        return reply

    def over_http2(self, request: Request) -> Reply:
        with self._wire("HTTP/2.0", Http2) as wire:
            return request.over_http2(wire)

    @contextlib.contextmanager
    def _wire(self, protocol: str, kind: type[Wire]) -> Iterator[Wire]:
        """The open connection, unless it was idle for so long that the server may close it."""
        if time.monotonic() - self.used.get(protocol, 0) > 3:
            self._drop(protocol)
        self.reused += protocol in self.wires
        if protocol not in self.wires:
            self.wires[protocol] = kind(self.site)
        wire = self.wires[protocol]
        assert isinstance(wire, kind)
        try:
            yield wire
        except BaseException:
            self._drop(protocol)
            raise
        self.used[protocol] = time.monotonic()

    def _drop(self, protocol: str) -> None:
        if wire := self.wires.pop(protocol, None):
            wire.close()

    def close(self) -> None:
        for protocol in list(self.wires):
            self._drop(protocol)


# -- any request ----------------------------------------------------------------------------------

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "FOO-BAR", "get"]
PATH_PARTS = [
    *"abZ09/;:@&=+,!$'()*~|^`{}\"<>\\-_", "//", "/", "///", "..", ".", "/../a", "/./", "%2F", "%2f",
    "%3F", "%3f", "%23", "%25", "%252F", "%5C", "%2e", "%2E%2E", "%20", "%0A", "%0d", "%09", "%7F",
    "%41", "%7e", "%C3%BC", "%FF", "\xc3\xbc", "\xff", ";v=1", "/index.html", "http://x",
]  # fmt: skip
paths = (
    st.lists(st.sampled_from(PATH_PARTS), max_size=8)
    .map(lambda parts: "/" + "".join(parts))
    .filter(lambda path: not above_root(path))
)
queries = st.one_of(
    st.just(""),
    st.lists(
        st.sampled_from([*'ab=&+;/?:@"<>\\|', "//", "%2F", "%00", "%zz", "%", "\xff", "\xc3\xbc"]),
        max_size=8,
    ).map(lambda parts: "?" + "".join(parts)),
)
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30
).map(lambda text: text.strip(" \t"))
headers = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["X-A", "x-a", "X-B", "X-1", "X_A", "X.A", "X-A_B", "X~A", "Proxy_"]),
            values,
        ),
        st.tuples(st.sampled_from(["X-Long", "X-a-b-c"]), st.just("y" * 1200)),
    ),
    max_size=6,
)
singles = st.fixed_dictionaries(
    {},
    optional={
        "Authorization": st.sampled_from(["Basic YTpi", "Bearer abc.def==", ""]),
        "Cookie": st.sampled_from(["a=1; b=2", "a=\xff", ""]),
        "Content-Type": st.sampled_from(["application/json", 'text/plain; charset="x"']),
        "User-Agent": values,
        "Accept": values,
        "Range": st.just("bytes=0-1"),
        "If-None-Match": st.just("*"),
        "X-Forwarded-For": st.just("10.0.0.1"),
        "X-Forwarded-Proto": st.just("http"),
        "X-Forwarded-Host": st.just("evil.example"),
        "Content-Length-": st.just("9"),
        "Content_Length": st.just("9"),
        "Transfer_Encoding": st.just("chunked"),
    },
)
bodies = st.one_of(
    st.just((b"", "none")),
    st.tuples(st.binary(max_size=3000), st.sampled_from(["length", "chunks"])),
)


def above_root(path: str) -> bool:
    """Whether the path climbs over its top before slashes are decoded, which is refused."""
    depth = 0
    plain = re.sub("%2[eE]", ".", path)
    for part in re.sub("//+", "/", plain).split("/")[1:]:
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


@st.composite
def requests(draw: st.DrawFn) -> Request:
    body, framing = draw(bodies)
    lines = [*draw(headers), *draw(singles).items()]
    target = draw(paths) + draw(queries)
    return Request(draw(st.sampled_from(METHODS)), target, tuple(lines), body, framing)


@MANY
@given(requests())
@example(Request("GET", "/" + "a" * 3500 + "?" + "b" * 4500))
@example(Request("GET", "//a///b//?//"))
@example(Request("GET", "/a%2Fb%252Fc%2f%2F"))
@example(Request("HEAD", "/a"))
@example(Request("GET", "/", (("X-Long", "y" * 8000),)))
@example(Request("GET", "/a", (("X-A", ""), ("X-A", "1"), ("X-A", ""))))
@example(Request("POST", "/", (), b"", "length"))
@example(Request("POST", "/", (), b"", "chunks"))
def test_the_app_sees_what_was_sent(clients: Clients, request_: Request) -> None:
    same(clients.site, request_, "HTTP/1.1", clients.over_http1(request_))


@over_tls
@MANY
@given(requests())
@example(Request("GET", "//a///b//?//"))
@example(Request("GET", "/a%2Fb%252Fc%2f%2F"))
@example(Request("HEAD", "/a"))
@example(Request("GET", "/", (("X-Long", "y" * 8000),)))
def test_the_app_sees_what_was_sent_over_http_2(clients: Clients, request_: Request) -> None:
    same(clients.site, request_, "HTTP/2.0", clients.over_http2(request_))


# -- any answer -----------------------------------------------------------------------------------


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    text = st.text(st.characters(max_codepoint=0xFF), max_size=60)
    status = draw(
        st.sampled_from(["200 OK", "201 Made It", "299 Fine by me", "301 x", "403 No", "404 Not",
                         "413 Big", "416 Range", "418 Teapot", "500 Oh", "503 Later", "599 x"])
    )  # fmt: skip
    chunks = draw(st.lists(text, max_size=5))
    lines = [TYPE] if draw(st.booleans()) else [["content-type", "a/b; charset=utf-8"]]
    lines += draw(
        st.lists(
            st.tuples(
                st.sampled_from(["X-A", "x-a", "X-B", "Set-Cookie", "Cache-Control", "ETag",
                                 "Referrer-Policy", "Last-Modified", "Location", "Accept-Ranges"]),
                values,
            ),
            max_size=6,
            unique_by=lambda line: line[0] if line[0] not in ("X-A", "x-a", "Set-Cookie") else line,
        )
    )  # fmt: skip
    if draw(st.booleans()):
        lines.append(("Content-Length", str(sum(map(len, chunks)))))
    found: dict[str, Any] = {"status": status, "headers": lines, "chunks": chunks}
    if draw(st.booleans()):
        found["write"] = True
    return found


asked = st.sampled_from(["GET", "POST", "HEAD"])


@MANY
@given(orders(), asked)
def test_the_client_sees_what_the_app_said(
    clients: Clients, order: dict[str, Any], method: str
) -> None:
    asking = Request(method, "/", (do(**order), ("Range", "bytes=0-1"), ("If-None-Match", "*")))
    same(clients.site, asking, "HTTP/1.1", clients.over_http1(asking))


@over_tls
@MANY
@given(orders(), asked)
def test_the_client_sees_what_the_app_said_over_http_2(
    clients: Clients, order: dict[str, Any], method: str
) -> None:
    asking = Request(method, "/", (do(**order),))
    same(clients.site, asking, "HTTP/2.0", clients.over_http2(asking))


@pytest.mark.parametrize("status", ["204 No", "304 Same"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answers_without_a_body_end_where_they_end(
    clients: Clients, status: str, method: str
) -> None:
    before = clients.reused
    for _ in range(2):
        asking = Request(method, "/", (do(status=status, headers=[["X-A", "1"]]),))
        same(clients.site, asking, "HTTP/1.1", clients.over_http1(asking))
        if clients.site.tls:
            same(clients.site, asking, "HTTP/2.0", clients.over_http2(asking))
    assert clients.reused > before


def test_a_head_may_state_the_length_that_get_would_have(clients: Clients) -> None:
    """Whether the app sends the body to HEAD or not."""
    for chunks in ([], ["hello"]):
        order = do(headers=[TYPE, ["Content-Length", "5"]], chunks=chunks)
        reply = clients.over_http1(Request("HEAD", "/", (order,)))
        assert (reply.all(b"content-length"), reply.body) == ([b"5"], b"")


# -- targets --------------------------------------------------------------------------------------

TARGETS = {
    "/a%2Fb": "/a/b",
    "/a%252Fb": "/a%2Fb",
    "//a///b//": "//a///b//",
    "/%2F%2fx": "///x",
    "/a/%2F/b": "/a///b",
    "/x;y=1;z/w": "/x;y=1;z/w",
    "/a%3Fb?c=%3F&d=?": "/a?b",
    "/a%25%32%46": "/a%2F",
    "/\xc3\xbc%C3%BC%FF": "/\xc3\xbc\xc3\xbc\xff",
    "//localhost/x": "//localhost/x",
    "/http://x//y": "/http://x//y",
    "/a/../b": "/b",
    "/a/%2e%2e%2fb": "/b",
    "/a/./b/..": "/a/",
    "/..%2f..%2fetc/passwd": "/etc/passwd",
    "/?a%2F//b": "/",
    "/*": "/*",
}


@pytest.mark.parametrize("target", TARGETS)
def test_path_info_is_the_target_decoded(clients: Clients, target: str) -> None:
    assert path_of(target.partition("?")[0]) == TARGETS[target]
    got = told(clients.over_http1(Request("GET", target)))
    assert (got["REQUEST_URI"], got["PATH_INFO"]) == (target, TARGETS[target])
    assert got["QUERY_STRING"] == target.partition("?")[2]


@pytest.mark.parametrize("rest", ["", "/", "/a%2Fb?c", "//a///b", "/a?x=//b"])
def test_a_whole_url_as_target_is_its_path_and_its_name_is_the_host(
    site: Endpoint, rest: str
) -> None:
    host = site.name if site.filtered else "x.invalid"  # The router hangs up where they differ.
    with Http1(site) as wire:
        wire.send(
            f"GET {site.scheme}://{site.name}{rest} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        )
        got = told(wire.reply())
    path, _, query = rest.partition("?")
    assert got["PATH_INFO"] == (unquote_to_bytes(path).decode() or "/")
    assert (got["QUERY_STRING"], got["HTTP_HOST"]) == (query, site.name)


REFUSED_TARGETS = {
    "/a%00b": 404, "/%00": 404, "/a%zz": 400, "/a%": 400, "/a%2": 400, "/../a": 400,
    "/%2e%2e": 400, "/a#b": 400, "a": 400, "": 400, "/a b": 400, "/a\tb": 400, "/a\x7fb": 400,
    "ftp://localhost/": 400, "localhost:80": 400, "/" + "a" * 9000: 414,
}  # fmt: skip


@pytest.mark.parametrize("target", REFUSED_TARGETS, ids=lambda target: target[:20])
def test_a_target_that_is_none_never_reaches_the_app(site: Endpoint, target: str) -> None:
    with Http1(site) as wire:
        head = f"GET {target} HTTP/1.1\r\nHost: {site.name}\r\nConnection: close\r\n\r\n"
        wire.send(head.encode("latin-1"))
        got = wire.rest()
    assert site.refuses(got, REFUSED_TARGETS[target])
    assert b"wsgi" not in got


def test_what_is_asked_of_the_server_itself_is_answered_by_httpd(site: Endpoint) -> None:
    with Http1(site) as wire:
        wire.send(f"OPTIONS * HTTP/1.1\r\nHost: {site.name}\r\n\r\n".encode())
        reply = wire.reply()
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    "path",
    ["/static/.closed/", "/static//.closed/", "//static/.closed/", "/.//static/.closed/",
     "/a/..//static//.closed/", "/%2Fstatic/.closed/", "/a%2F..%2F%2Fstatic%2F.closed%2F",
     "/static/%2Eclosed/", "/static/a/../.closed/", "/static/a%2F..%2F.closed/",
     "/static/.%2F.closed/", "/static%2F%2F.closed/"],
)  # fmt: skip
def test_a_hidden_file_is_hidden_however_it_is_asked_for(clients: Clients, path: str) -> None:
    reply = clients.over_http1(Request("GET", f"{path}file.txt"))
    assert SECRET.encode() not in reply.body
    assert reply.status == 404


@pytest.mark.parametrize("path", ["/static/open.txt", "//static///open.txt", "/static%2Fopen.txt"])
def test_an_open_file_is_found_however_it_is_asked_for(clients: Clients, path: str) -> None:
    assert clients.over_http1(Request("GET", path)).body == b"open to all"


# -- bodies ---------------------------------------------------------------------------------------


def large() -> bytes:
    return b"".join(echo_app.fill(LARGE))


@each_protocol
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_large_body_arrives_whole(site: Endpoint, framing: str, protocol: str) -> None:
    body = large()
    sent = Request("PUT", "/", (), body, framing)
    if protocol == "HTTP/2.0":
        with Http2(site) as wire2:
            got = told(sent.over_http2(wire2))
    else:
        with Http1(site) as wire:
            wire.send(sent.http1(site))
            got = told(wire.reply())
    assert got["body"] == {
        "size": LARGE, "sha256": hashlib.sha256(body).hexdigest(), "failed": ""
    }  # fmt: skip


@each_protocol
def test_a_large_answer_arrives_whole(site: Endpoint, protocol: str) -> None:
    asking = Request("GET", "/", (do(fill=LARGE),))
    if protocol == "HTTP/2.0":
        with Http2(site) as wire2:
            reply = asking.over_http2(wire2)
    else:
        with Http1(site) as wire:
            wire.send(asking.http1(site))
            reply = wire.reply()
    assert hashlib.sha256(reply.body).digest() == hashlib.sha256(large()).digest()


def test_trailers_are_no_headers(site: Endpoint) -> None:
    head = Request("POST", "/", (("Transfer-Encoding", "chunked"), ("Trailer", "X-T")))
    with Http1(site) as wire:
        wire.send(head.http1(site) + chunked(b"hello", 2, b"X-T: 1\r\nAuthorization: x\r\n"))
        got = told(wire.reply())
        assert got["body"]["size"] == 5
        assert not {"HTTP_X_T", "HTTP_AUTHORIZATION"} & set(got)
        wire.send(Request("GET", "/next").http1(site))
        assert told(wire.reply())["PATH_INFO"] == "/next"


def test_who_asks_first_is_told_to_go_on_once_the_app_reads(site: Endpoint) -> None:
    head = Request("POST", "/", (("Expect", "100-continue"), ("Content-Length", "5")))
    with Http1(site) as wire:
        wire.send(head.http1(site))
        assert wire.head().status == 100
        wire.send(b"hello")
        assert told(wire.reply())["body"]["size"] == 5


def test_who_asks_first_is_not_told_to_go_on_if_the_app_does_not_read(site: Endpoint) -> None:
    order = do(status="403 No", chunks=["no"], deaf=True)
    head = Request("POST", "/", (("Expect", "100-continue"), ("Content-Length", "5"), order))
    with Http1(site) as wire:
        wire.send(head.http1(site))
        reply = wire.reply()
    assert (reply.status, reply.interim, reply.closes) == (403, [], True)


# -- streams --------------------------------------------------------------------------------------


def test_a_piece_arrives_when_it_is_yielded(site: Endpoint) -> None:
    """The client sends its body only after it has seen the first piece of the answer."""
    order = do(first="here", chunks=["there"], tell=True)
    with Http1(site) as wire:
        wire.send(Request("POST", "/", (order, ("Content-Length", "5"))).http1(site))
        reply = wire.head()
        pieces = wire.pieces(reply)
        assert next(pieces) == b"here"
        wire.send(b"hello")
        rest = b"".join(pieces)
    assert rest.startswith(b"there")
    assert json.loads(rest[5:])["body"]["size"] == 5


@over_tls
def test_a_piece_arrives_when_it_is_yielded_over_http_2(site: Endpoint) -> None:
    name, value = do(first="here", chunks=["there"], tell=True)
    with Http2(site) as wire:
        stream = wire.request(b"POST", b"/", [(name.lower().encode(), value.encode())], body=True)
        assert wire.body_so_far(stream) == b"here"
        wire.data(stream, b"hello", end=True)
        assert wire.reply(stream).body.startswith(b"herethere")


LENGTH = [TYPE, ["Content-Length", "500"]]


HALVES = {
    "chunks": {"headers": [TYPE], "first": "half of", "fail": True},
    "length": {"headers": LENGTH, "first": "half of", "fail": True},
    "written": {"headers": [TYPE], "chunks": ["half of"], "write": True, "fail": True},
    "short": {"headers": LENGTH, "chunks": ["half of"]},
    "short and written": {"headers": LENGTH, "chunks": ["half of"], "write": True},
}
"""What an app does: it fails in the middle of its answer, or it ends there."""


@pytest.mark.parametrize("half", HALVES)
def test_half_an_answer_does_not_look_like_a_whole_one(site: Endpoint, half: str) -> None:
    """Nor does what would be answered next become a part of it."""
    order = do(**HALVES[half])
    with Http1(site) as wire:
        next_one = Request("GET", "/next").http1(site)
        wire.send(Request("GET", "/", (order,)).http1(site) + next_one)
        with pytest.raises(Cut):
            wire.reply()
        assert b"HTTP/1.1" not in wire.buffer + wire.rest()


@over_tls
@pytest.mark.parametrize("half", HALVES)
def test_half_an_answer_does_not_look_like_a_whole_one_over_http_2(
    site: Endpoint, half: str
) -> None:
    asking = Request("GET", "/", (do(**HALVES[half]),))
    with Http2(site) as wire, pytest.raises(Cut):
        asking.over_http2(wire)


@pytest.mark.parametrize("order", [do(fail=True), do(headers=LENGTH)], ids=["fails", "is missing"])
def test_an_answer_of_which_nothing_is_sent_is_an_error_of_that_request_alone(
    site: Endpoint, order: tuple[str, str]
) -> None:
    with Http2(site) if site.tls else contextlib.nullcontext() as wire2, Http1(site) as wire:
        asking = Request("GET", "/", (order,))
        wire.send(asking.http1(site))
        assert wire.reply().status == 500
        if wire2:
            assert asking.over_http2(wire2).status == 500
            assert Request("GET", "/").over_http2(wire2).status == 200


# -- connections ----------------------------------------------------------------------------------


def test_requests_sent_at_once_are_answered_in_order(site: Endpoint) -> None:
    """Also after bodies that the app did not read."""
    deaf = do(deaf=True, tell=True)
    sent = [
        Request("GET", "/1"),
        Request("POST", "/2", (), b"x" * 5000, "length"),
        Request("POST", "/3", (deaf,), b"GET /no HTTP/1.1\r\nHost: localhost\r\n\r\n", "length"),
        Request("POST", "/4", (deaf,), b"GET /no HTTP/1.1\r\nHost: localhost\r\n\r\n", "chunks"),
        Request("HEAD", "/5"),
        Request("PUT", "/6", (), b"x" * 5000, "chunks"),
        Request("GET", "/7"),
    ]
    with Http1(site) as wire:
        wire.send(b"".join(one.http1(site) for one in sent))
        for one in sent:
            reply = wire.reply(one.method.encode())
            assert not reply.closes
            if one.method != "HEAD":
                assert told(reply)["PATH_INFO"] == one.target


@over_tls
def test_many_requests_of_http_2_share_one_connection(site: Endpoint) -> None:
    with Http2(site) as wire:
        streams = {wire.request(b"GET", b"/%d" % number): number for number in range(50)}
        for stream, number in streams.items():
            assert told(wire.reply(stream))["PATH_INFO"] == f"/{number}"


@pytest.mark.parametrize(
    ("line", "stays"), [("", False), ("Connection: keep-alive\r\n", True)], ids=["plain", "kept"]
)
def test_http_1_0_is_served_without_chunks(site: Endpoint, line: str, stays: bool) -> None:
    name, value = do(headers=[TYPE, ["Content-Length", "5"]], chunks=["hel", "lo"])
    asking = f"GET /a HTTP/1.0\r\nHost: {site.name}\r\n{line}{name}: {value}\r\n\r\n".encode()
    with Http1(site) as wire:
        for _ in range(2 if stays else 1):
            wire.send(asking)
            reply = wire.reply()
            assert (reply.body, reply.all(b"transfer-encoding")) == (b"hello", [])
            assert reply.closes is not stays
        wire.send(f"GET /a HTTP/1.0\r\nHost: {site.name}\r\n{line}\r\n".encode() if stays else b"")
        if stays:
            reply = wire.reply()
            assert (told(reply)["SERVER_PROTOCOL"], reply.closes) == ("HTTP/1.0", True)


# -- requests within requests ---------------------------------------------------------------------

CHUNKED = "Transfer-Encoding: chunked"
EMPTY = "0\r\n\r\n"
FIVE = "5\r\nhello\r\n0\r\n\r\n"
REFUSED = {
    "two lengths": (["Content-Length: 0", "Content-Length: 44"], ""),
    "one length twice": (["Content-Length: 5", "Content-Length: 5"], "hello"),
    "a list of lengths": (["Content-Length: 5, 5"], "hello"),
    "a signed length": (["Content-Length: +5"], "hello"),
    "a negative length": (["Content-Length: -5"], "hello"),
    "a hexadecimal length": (["Content-Length: 0x5"], "hello"),
    "an empty length": (["Content-Length: "], ""),
    "a length with a space": (["Content-Length: 5 5"], "hello"),
    "a length with an underscore": (["Content-Length: 1_0"], "hellohello"),
    "a length that overflows": (["Content-Length: 18446744073709551621"], "hello"),
    "an unknown coding": (["Transfer-Encoding: xchunked"], FIVE),
    "no coding": (["Transfer-Encoding: identity"], ""),
    "chunks not last": (["Transfer-Encoding: chunked, identity"], EMPTY),
    "chunks before another line": ([CHUNKED, "Transfer-Encoding: identity"], EMPTY),
    "chunks with a parameter": (["Transfer-Encoding: chunked;q=1"], EMPTY),
    "chunks in quotes": (['Transfer-Encoding: "chunked"'], EMPTY),
    "chunks after a vertical tab": (["Transfer-Encoding:\x0bchunked"], EMPTY),
    "an empty coding and a length": (["Transfer-Encoding: ", "Content-Length: 5"], "hello"),
    "an unknown coding and a length": (["Transfer-Encoding: cow", "Content-Length: 5"], "hello"),
    "a space before the colon": (["Transfer-Encoding : chunked"], EMPTY),
    "a space before another colon": (["X-A : 1"], ""),
    "a line that ends in LF": (["X-A: 1\nX-B: 2"], ""),
    "a line that ends in CR": (["X-A: 1\rX-B: 2"], ""),
    "CR twice": (["X-A: 1\r"], ""),
    "NUL in a value": (["X-A: a\0b"], ""),
    "a control character in a value": (["X-A: a\x01b"], ""),
    "NUL in a name": (["X\0A: b"], ""),
    "a name beyond ASCII": (["X-\xe9: 1"], ""),
    "a line without a colon": (["no colon"], ""),
    "a line without a name": ([": 1"], ""),
    "two hosts": (["Host: evil.example"], ""),
    "a line too long": (["X-A: " + "y" * 9000], ""),
    "two codings": (["Transfer-Encoding: gzip, chunked"], EMPTY),
    "chunks twice": (["Transfer-Encoding: chunked, chunked"], EMPTY),
    "chunks after another line": (["Transfer-Encoding: identity", CHUNKED], EMPTY),
    "chunks after a comma": (["Transfer-Encoding: , chunked"], EMPTY),
    "a chunk's size with 0x": ([CHUNKED], "0x5\r\nhello\r\n" + EMPTY),
    "a negative chunk": ([CHUNKED], "-5\r\nhello\r\n" + EMPTY),
    "a signed chunk": ([CHUNKED], "+5\r\nhello\r\n" + EMPTY),
    "a chunk that overflows": ([CHUNKED], "10000000000000005\r\nhello\r\n" + EMPTY),
    "a chunk whose size ends in LF": ([CHUNKED], "5\nhello\r\n" + EMPTY),
    "a chunk that ends in LF": ([CHUNKED], "5\r\nhello\n" + EMPTY),
    "a chunk longer than its size": ([CHUNKED], "5\r\nhelloXX" + EMPTY),
    "LF in what follows a size": ([CHUNKED], "5;a\nb\r\nhello\r\n" + EMPTY),
    "CR in what follows a size": ([CHUNKED], "5;a\rb\r\nhello\r\n" + EMPTY),
    "a chunk without a size": ([CHUNKED], "\r\nhello\r\n" + EMPTY),
}
STATUS = {
    **dict.fromkeys(["two codings", "chunks twice", "chunks after another line",
                     "chunks after a comma"], 501),
    "a chunk that overflows": 413,
}  # fmt: skip
"""What is refused otherwise than with 400: codings that exist, but that nobody here undoes."""


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_that_may_end_elsewhere_is_refused_and_the_connection_closed(
    site: Endpoint, case: str
) -> None:
    lines, body = REFUSED[case]
    head = "\r\n".join(["POST /first HTTP/1.1", f"Host: {site.name}", *lines, "", body])
    hidden = Request("GET", "/hidden").http1(site)
    with Http1(site) as wire:
        wire.send(head.encode("latin-1") + hidden)
        got = wire.rest()
    assert site.refuses(got, STATUS.get(case, 400))
    assert got.count(b"HTTP/1.1 ") <= 1
    assert b"/hidden" not in got


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 6", CHUNKED],
        [CHUNKED, "Content-Length: 6"],
        [CHUNKED, "Content-Length: 0"],
    ],
    ids=" & ".join,
)
def test_a_length_beside_chunks_is_ignored_and_the_connection_closed(
    site: Endpoint, lines: list[str]
) -> None:
    """As RFC 9112 has it; httpd has forgotten the length before anybody could refuse it."""
    head = "\r\n".join(["POST /first HTTP/1.1", f"Host: {site.name}", *lines, "", FIVE])
    with Http1(site) as wire:
        wire.send(head.encode() + Request("GET", "/hidden").http1(site))
        reply = wire.reply()
        got = told(reply)
        assert (got["PATH_INFO"], got["body"]["size"]) == ("/first", 5)
        assert "CONTENT_LENGTH" not in got
        assert wire.rest() == b""


def test_chunks_of_http_1_0_end_the_connection(site: Endpoint) -> None:
    name, value = do(headers=[TYPE, ["Content-Length", "2"]], chunks=["ok"])
    head = (
        f"POST / HTTP/1.0\r\nHost: {site.name}\r\nConnection: keep-alive\r\n{CHUNKED}\r\n"
        f"{name}: {value}\r\n\r\n{EMPTY}"
    )
    with Http1(site) as wire:
        wire.send(head.encode() + Request("GET", "/hidden").http1(site))
        assert wire.reply().body == b"ok"
        assert wire.rest() == b""


FOLDED = {"X-A: 1\r\n b": "1 b", "X-A: 1\r\n\tX-B: 2": "1 X-B: 2"}


@pytest.mark.parametrize("header", FOLDED)
def test_a_folded_header_is_one_header(site: Endpoint, header: str) -> None:
    """Which RFC 9112 allows for: what follows the fold is never a line of its own."""
    with Http1(site) as wire:
        wire.send(f"GET / HTTP/1.1\r\nHost: {site.name}\r\n{header}\r\n\r\n".encode())
        got = told(wire.reply())
    assert (" ".join(got["HTTP_X_A"].split()), "HTTP_X_B" in got) == (FOLDED[header], False)


@pytest.mark.parametrize(
    "line",
    ["GET /a", "GET /a HTTP/0.9", "GET /a HTTP/1.10", "GET /a http/1.1", "GET  /a HTTP/1.1",
     "GET\t/a\tHTTP/1.1", "GET /a HTTP/1.1 ", " GET /a HTTP/1.1", "G@T /a HTTP/1.1", "GET",
     "GET /a\nX: HTTP/1.1", "PRI * HTTP/2.0"],
)  # fmt: skip
def test_a_first_line_that_is_none_is_refused_and_the_connection_closed(
    site: Endpoint, line: str
) -> None:
    with Http1(site) as wire:
        wire.send(f"{line}\r\nHost: {site.name}\r\n\r\n".encode())
        wire.send(Request("GET", "/hidden").http1(site))
        got = wire.rest()
    assert site.refuses(got, 400)
    assert b"/hidden" not in got


@over_tls
@pytest.mark.parametrize(
    "header",
    [
        (b"content-length", b"3"), (b"content-length", b"30"), (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"), (b"x-a", b"a\r\nX-B: 1"), (b"x-a", b"a\0b"), (b"X-A", b"1"),
        (b"x-a:b", b"1"), (b"x a", b"1"), (b":path", b"/z"), (b"te", b"gzip"),
    ],
    ids=repr,
)  # fmt: skip
def test_headers_that_http_2_forbids_never_reach_the_app(site: Endpoint, header: Header) -> None:
    with Http2(site) as wire:
        stream = wire.request(b"POST", b"/", [header], body=True)
        with contextlib.suppress(Cut):
            wire.data(stream, b"hello", end=True)
            assert wire.reply(stream).status == 400


@over_tls
@pytest.mark.parametrize("target", [b"/a b", b"/a\r\nX: y", b"", b"a", b"https://localhost/a"])
def test_targets_that_http_2_forbids_never_reach_the_app(site: Endpoint, target: bytes) -> None:
    with Http2(site) as wire, contextlib.suppress(Cut):
        assert wire.reply(wire.request(b"GET", target)).status == 400
