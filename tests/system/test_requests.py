"""What a client sends is what the app gets, and what nobody should send is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import Answer, Hosted, place

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

LIMIT = 200_000

SITE = f"""
app = "app.py"
domains = ["shop.example.com", "bücher.example"]
[server]
max_body = {LIMIT}
"""

APP = r"""
import hashlib, json, os, pathlib, time

GATE = pathlib.Path(os.environ["DATA_DIR"]) / "gate"

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces()
    if path == "/open":
        GATE.touch()
    if path == "/own":
        own = [("X-Content-Type-Options", "own"), ("Referrer-Policy", "no-referrer"),
               ("Content-Length", "0"), ("Server", "own"), ("Date", "own"),
               ("Cache-Control", "private")]
        start_response("299 Fine by me", own)
        return []
    if path == "/cookies":
        start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"),
                                  ("Link", "<a>"), ("Link", "<b>"), ("Content-Length", "0")])
        return []
    if path.startswith("/status/"):
        start_response(path[8:] + " Some", [("Content-Length", "3")])
        return [b"own"]
    return facts(environ, start_response)

def pieces():
    GATE.unlink(missing_ok=True)
    yield b"first\n"
    for _ in range(600):
        if GATE.exists():
            yield b"second\n"
            return
        time.sleep(0.05)
    yield b"nobody saw the first piece\n"

def facts(environ, start_response):
    try:
        body, failed = environ["wsgi.input"].read(), ""
    except OSError as error:
        body, failed = b"", repr(error)
    said = {name: value for name, value in environ.items() if isinstance(value, str)}
    said |= {"body": len(body), "sha256": hashlib.sha256(body).hexdigest(), "failed": failed,
             "os.environ": dict(os.environ)}
    text = json.dumps(said).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(text)))])
    return [text]
"""


@pytest.fixture(scope="module", params=["user", "root"])
def site(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """One site for all these requests, of either person."""
    hosted = place(request.getfixturevalue(request.param), None, "requests")
    try:
        hosted.write("hostel.toml", SITE)
        hosted.write("app.py", APP)
        done = hosted.up()
        assert done.returncode == 0, done.stderr
        yield hosted
    finally:
        hosted.end()
        shutil.rmtree(hosted.root.parent, ignore_errors=True)
        if hosted.person.uid == 0:
            shutil.rmtree(hosted.state.parent, ignore_errors=True)
    assert not hosted.strays()


@contextlib.contextmanager
def tls(
    site: Hosted, name: str = "localhost", change: Callable[[ssl.SSLContext], None] = lambda _: None
) -> Iterator[ssl.SSLSocket]:
    """A verified TLS connection for this name."""
    context = ssl.create_default_context(cadata=site.ca_text())
    change(context)
    with (
        socket.create_connection(("127.0.0.1", site.https), 60) as raw,
        context.wrap_socket(raw, server_hostname=name) as wrapped,
    ):
        yield wrapped


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    got = bytearray()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        while block := connection.recv(65536):
            got += block
    return bytes(got)


def send(site: Hosted, data: bytes, name: str = "localhost") -> tuple[int, str, bytes]:
    """Exactly these bytes over TLS; the status, the head and the body that come back."""
    with tls(site, name) as connection:
        connection.sendall(data)
        answer = rest(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    first = head.split(b" ", 2)
    return int(first[1]) if len(first) > 1 else 0, head.decode("latin-1"), body


def request(
    site: Hosted, line: str, *headers: str, body: bytes = b"", host: str = "localhost"
) -> tuple[int, str, bytes]:
    head = "\r\n".join([line, *([f"Host: {host}"] if host else []), *headers, "Connection: close"])
    return send(site, head.encode("latin-1") + b"\r\n\r\n" + body)


def told(answer: Answer | tuple[int, str, bytes]) -> dict[str, Any]:
    """What the app says it got."""
    status, body = (
        (answer.status, answer.body) if isinstance(answer, Answer) else (answer[0], answer[2])
    )
    assert status == 200, answer
    return dict(json.loads(body))


def curl(
    site: Hosted, *words: str, path: str = "/", host: str = "localhost", data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    where = ["--connect-to", f"{host}:{site.https}:127.0.0.1:{site.https}"]
    return subprocess.run(
        [
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "120",
            "--cacert",
            site.authority(),
            *where,
            *words,
            f"https://{host}:{site.https}{path}",
        ],
        input=data,
        capture_output=True,
        check=False,
        timeout=150,
    )


# -- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 8192, LIMIT])
def test_a_body_up_to_the_limit_arrives_whole(site: Hosted, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    got = told(site.get("/", "POST", body))
    assert (got["body"], got["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert got["CONTENT_LENGTH"] == str(size)


def test_a_body_over_the_limit_is_answered_413_before_the_app_sees_it(site: Hosted) -> None:
    answer = request(
        site, "POST / HTTP/1.1", f"Content-Length: {LIMIT + 1}", body=b"x" * (LIMIT + 1)
    )
    assert answer[0] == 413
    assert "wsgi" not in answer[2].decode().lower()


def test_who_asks_before_sending_too_much_is_told_no_at_once(site: Hosted) -> None:
    status, head, _ = request(
        site, "POST / HTTP/1.1", f"Content-Length: {LIMIT * 9}", "Expect: 100-continue"
    )
    assert status == 413
    assert "100 Continue" not in head


def test_who_asks_before_sending_is_told_to_go_on(site: Hosted) -> None:
    with tls(site) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        answer = rest(connection)
    assert b'"body": 5' in answer


def chunked(*parts: bytes) -> bytes:
    framed = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts)
    return framed + b"0\r\nTrailer: ignored\r\n\r\n"


def test_a_chunked_body_arrives_whole(site: Hosted) -> None:
    parts = [b"a", b"bc" * 5000, b"\0\xff" * 300]
    got = told(request(site, "POST / HTTP/1.1", "Transfer-Encoding: chunked", body=chunked(*parts)))
    whole = b"".join(parts)
    assert (got["body"], got["sha256"]) == (len(whole), hashlib.sha256(whole).hexdigest())


def test_a_chunked_body_over_the_limit_never_reaches_the_app(site: Hosted) -> None:
    status, _, body = request(
        site, "POST / HTTP/1.1", "Transfer-Encoding: chunked", body=chunked(*[b"x" * 50_000] * 5)
    )
    assert status == 413
    if body.startswith(b"{"):  # the app was asked, and could not read
        got = json.loads(body)
        assert (got["body"], bool(got["failed"])) == (0, True)


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -5"],
        ["Content-Length: 5x"],
        ["Content-Length: +5"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: cow", "Content-Length: 5"],
    ],
    ids=lambda headers: " & ".join(headers),
)
def test_a_body_whose_length_can_be_read_in_two_ways_is_refused(
    site: Hosted, headers: list[str]
) -> None:
    assert request(site, "POST / HTTP/1.1", *headers, body=b"hello")[0] in (400, 413, 501)


def test_a_length_beside_chunks_cannot_smuggle_a_second_request(site: Hosted) -> None:
    hidden = b"GET /status/299 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(hidden) + 5)
    )
    _, head, body = send(site, data + hidden)
    assert b"HTTP/1.1 299" not in head.encode() + body


# -- methods and targets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "REPORT", "QUERY"]
)
def test_every_method_reaches_the_app_with_its_body(site: Hosted, method: str) -> None:
    got = told(request(site, f"{method} /x?y HTTP/1.1", "Content-Length: 4", body=b"body"))
    assert (got["REQUEST_METHOD"], got["body"]) == (method, 4)


def test_head_is_answered_like_get_without_the_body(site: Hosted) -> None:
    status, head, body = request(site, "HEAD / HTTP/1.1")
    assert (status, body) == (200, b"")
    assert "content-length:" in head.lower()


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_are_about_the_connection_are_refused(site: Hosted, method: str) -> None:
    status, _, body = request(site, f"{method} / HTTP/1.1", "Cookie: secret=1")
    assert status in (400, 405)
    assert b"secret=1" not in body


TARGETS = {
    "/a%2Fb": "/a/b",
    "/a%2fb/c": "/a/b/c",
    "/x;y=1;z/w": "/x;y=1;z/w",
    "/a%3Fb?c=%3F&d=?": "/a?b",
    "//a///b//": "//a///b//",
    "/%2F/": "///",
    "/a%5Cb": "/a\\b",
    "/a+b%20c": "/a+b c",
    "/%25%32%35": "/%25",
    "/a%0Ab%0D": "/a\nb\r",
    "/%C3%BC": "/\u00c3\u00bc",
    "/%FF": "/\u00ff",
    "/~u/!$&'()*,:@=-._": "/~u/!$&'()*,:@=-._",
    "/?": "/",
    "/??a": "/",
}


@pytest.mark.parametrize("target", TARGETS)
def test_the_target_reaches_the_app_as_it_was_sent(site: Hosted, target: str) -> None:
    got = told(request(site, f"GET {target} HTTP/1.1"))
    assert got["REQUEST_URI"] == target
    assert got["PATH_INFO"] == TARGETS[target]
    assert got["QUERY_STRING"] == target.partition("?")[2]
    assert got["SCRIPT_NAME"] == ""


def test_a_whole_url_as_target_is_the_same_request(site: Hosted) -> None:
    got = told(request(site, f"GET https://localhost:{site.https}/a%2Fb?c HTTP/1.1"))
    assert got["REQUEST_URI"].endswith("/a%2Fb?c")
    assert (got["PATH_INFO"], got["QUERY_STRING"]) == ("/a/b", "c")


@pytest.mark.parametrize(
    "line",
    [
        "GET /%zz HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET / b HTTP/1.1",
        "GET no-slash HTTP/1.1",
        "GET /../../etc/passwd HTTP/1.1",
        "GET  / HTTP/1.1",
        f"GET /{'x' * 9000} HTTP/1.1",
    ],
)
def test_what_is_no_request_is_refused(site: Hosted, line: str) -> None:
    assert request(site, line)[0] in (400, 403, 404, 414, 505)


# -- headers --------------------------------------------------------------------------------------


def test_authorization_arrives(site: Hosted) -> None:
    got = told(site.get("/", headers={"Authorization": "Bearer abc.def=="}))
    assert got["HTTP_AUTHORIZATION"] == "Bearer abc.def=="


def test_headers_given_twice_arrive_in_order_as_one(site: Hosted) -> None:
    got = told(request(site, "GET / HTTP/1.1", "X-A: 1", "X-B: 0", "x-a: 2", "X-A:   3  "))
    assert (got["HTTP_X_A"], got["HTTP_X_B"]) == ("1, 2, 3", "0")


def test_headers_that_could_pass_for_others_do_not_arrive(site: Hosted) -> None:
    got = told(
        request(
            site, "GET / HTTP/1.1", "Proxy: http://evil.example", "X_User: admin", "X.User: admin"
        )
    )
    assert not [name for name in got if name in ("HTTP_PROXY", "HTTP_X_USER")]
    assert "HTTP_PROXY" not in got["os.environ"]


@pytest.mark.parametrize(
    "header", ["X-A : 1", "X-A: a\0b", "no colon", "X-\xe9: 1", "X-A: " + "y" * 9000]
)
def test_headers_that_are_none_are_refused(site: Hosted, header: str) -> None:
    assert request(site, "GET / HTTP/1.1", "X-First: 1", header)[0] == 400


def test_a_folded_header_is_one_header(site: Hosted) -> None:
    got = told(request(site, "GET / HTTP/1.1", "X-First: 1", " X-A: 1"))
    assert got["HTTP_X_FIRST"] == "1 X-A: 1"
    assert "HTTP_X_A" not in got


def test_the_app_is_told_what_the_connection_is(site: Hosted) -> None:
    got = told(site.get("/"))
    assert got["wsgi.url_scheme"] == "https"
    assert got["SERVER_PORT"] == str(site.https)
    assert got["REMOTE_ADDR"] == "127.0.0.1"
    assert got["HTTP_HOST"] == f"localhost:{site.https}"
    assert got["SERVER_PROTOCOL"] == "HTTP/1.1"


def test_answers_carry_headers_that_keep_browsers_careful(site: Hosted) -> None:
    for path in ("/", "/status/404", "/status/503"):
        answer = site.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin", path
        assert answer.headers["server"] == "Apache"
        assert "python" not in str(answer.headers).lower()


def test_the_headers_an_app_sends_itself_win(site: Hosted) -> None:
    status, head, _ = request(site, "GET /own HTTP/1.1")
    lines = head.lower().split("\r\n")
    assert status == 299
    assert lines[0] == "http/1.1 299 fine by me"
    for own in (
        "x-content-type-options: own",
        "referrer-policy: no-referrer",
        "cache-control: private",
    ):
        assert [line for line in lines if line.startswith(own.split(":")[0])] == [own]


def test_headers_an_app_sends_twice_stay_two(site: Hosted) -> None:
    lines = request(site, "GET /cookies HTTP/1.1")[1].split("\r\n")
    assert [line for line in lines if line.startswith("Set-Cookie")] == [
        "Set-Cookie: a=1",
        "Set-Cookie: b=2; Path=/",
    ]
    assert [line for line in lines if line.startswith("Link")] in (
        ["Link: <a>", "Link: <b>"],
        ["Link: <a>, <b>"],
    )


@pytest.mark.parametrize("status", [201, 400, 401, 403, 404, 413, 421, 500, 503])
def test_error_pages_of_the_app_are_its_own(site: Hosted, status: int) -> None:
    answer = site.get(f"/status/{status}")
    assert (answer.status, answer.body) == (status, b"own")


# -- the connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_streamed_answer_arrives_piece_by_piece(site: Hosted, version: str) -> None:
    """The second piece is made only after the client has seen the first."""
    process = subprocess.Popen(
        [
            "curl",
            "--silent",
            "--no-buffer",
            version,
            "--cacert",
            site.authority(),
            f"https://localhost:{site.https}/stream",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == b"first\n"
        assert site.get("/open").status == 200
        assert process.stdout.read() == b"second\n"
    finally:
        process.kill()
        process.communicate()


def test_http_1_0_is_served_and_closed_after_the_answer(site: Hosted) -> None:
    status, head, body = send(site, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert status == 200
    assert json.loads(body)["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "chunked" not in head.lower()


def test_several_requests_may_follow_each_other_on_one_connection(site: Hosted) -> None:
    one = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n"
    data = b"\r\n".join(one % number for number in range(5)) + b"Connection: close\r\n\r\n"
    with tls(site) as connection:
        connection.sendall(data)
        answers = rest(connection)
    assert [b'"PATH_INFO": "/%d"' % number in answers for number in range(5)] == [True] * 5
    assert answers.count(b"HTTP/1.1 200 ") == 5


@pytest.mark.parametrize(("option", "spoken"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_http_2_is_spoken_with_whoever_offers_it(site: Hosted, option: str, spoken: str) -> None:
    done = curl(
        site,
        option,
        "--write-out",
        r"\n%{http_version}",
        "--data-binary",
        "@-",
        "-H",
        "X-A: 1",
        path="/a%2Fb?c=d",
        data=b"x" * 100_000,
    )
    assert done.returncode == 0, done.stderr
    body, _, version = done.stdout.rpartition(b"\n")
    got = json.loads(body)
    assert version.decode() == spoken
    assert (got["REQUEST_URI"], got["body"], got["HTTP_X_A"]) == ("/a%2Fb?c=d", 100_000, "1")
    assert got["SERVER_PROTOCOL"].startswith(f"HTTP/{spoken}")
    assert got["HTTP_HOST"] == f"localhost:{site.https}"


def http_2(site: Hosted, headers: dict[str, str], body: bytes) -> bytes:
    """One request in frames written by hand: what comes back until the stream ends, undecoded.

    A client such as curl takes the reset that follows an early answer for a failure.
    """

    def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
        return head + stream.to_bytes(4, "big") + payload

    def exactly(connection: ssl.SSLSocket, size: int) -> bytes:
        got = b""
        while len(got) < size:
            block = connection.recv(size - len(got))
            assert block, "it was closed"
            got += block
        return got

    fields = b"".join(  # without an index and without Huffman's code
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
    with tls(site, change=lambda context: context.set_alpn_protocols(["h2"])) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        connection.sendall(frame(1, 4, 1, fields))
        for start in range(0, len(body), 16384):
            connection.sendall(frame(0, 0, 1, body[start : start + 16384]))
        answer = b""
        while True:
            head = exactly(connection, 9)
            payload = exactly(connection, int.from_bytes(head[:3], "big"))
            if head[5:] == b"\0\0\0\1" and head[3] in (0, 1):  # DATA and HEADERS
                answer += payload
                if head[4] & 1:
                    return answer
            assert head[3] not in (3, 7) or answer, "it was reset without an answer"


def test_a_body_over_the_limit_is_refused_over_http_2_too(site: Hosted) -> None:
    head = {
        ":method": "POST",
        ":scheme": "https",
        ":authority": f"localhost:{site.https}",
        ":path": "/",
    }
    fine = http_2(site, {**head, "content-length": "0"}, b"")
    assert b'"body": 0' in fine
    answer = http_2(site, {**head, "content-length": str(LIMIT + 1)}, b"x" * 60_000)
    assert b"413" in answer
    assert b'"body"' not in answer


@pytest.mark.parametrize("size", [3, LIMIT + 1])
def test_a_body_of_no_stated_length_is_held_to_the_limit_over_http_2(
    site: Hosted, size: int
) -> None:
    words = ["-H", "Transfer-Encoding: chunked", "-H", "Content-Length:", "--data-binary", "@-"]
    done = curl(site, "--http2", *words, data=b"x" * size)
    assert (b'"body": 3,' in done.stdout) == (size == 3)
    assert b'"body": 200' not in done.stdout


def old(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_1_1_is_refused_by_the_server(site: Hosted) -> None:
    with pytest.raises(ssl.SSLError) as refusal, tls(site, change=old):
        pass
    assert "ALERT_PROTOCOL_VERSION" in str(refusal.value)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_today_s_tls_is_spoken_with_forward_secrecy(site: Hosted, version: str) -> None:
    def only(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

    with tls(site, change=only) as connection:
        cipher = connection.cipher()
        assert connection.version() == version.replace("_", ".")
    assert cipher
    assert cipher[0].startswith("TLS_" if version == "TLSv1_3" else "ECDHE-")


def test_a_cipher_without_forward_secrecy_is_refused(site: Hosted) -> None:
    def weak(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA:AES256-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")

    with pytest.raises(ssl.SSLError), tls(site, change=weak):
        pass


def test_who_sends_a_request_drop_by_drop_is_cut_off_and_others_are_served(site: Hosted) -> None:
    with tls(site) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        connection.settimeout(1)
        got = b""
        for _ in range(45):
            with contextlib.suppress(TimeoutError):
                got = rest(connection)
                break
            try:
                connection.sendall(b"x")
            except OSError:
                break
        else:
            pytest.fail("it was never cut off")
    assert got.startswith(b"HTTP/1.1 408 ") or got == b""
    assert site.get("/").status == 200


# -- names ----------------------------------------------------------------------------------------

OURS = ("shop.example.com", "xn--bcher-kva.example", "localhost", "127.0.0.1")


@pytest.mark.parametrize("host", OURS)
def test_the_site_answers_to_its_names_with_a_good_certificate(site: Hosted, host: str) -> None:
    got = told(site.get("/", host=host))
    assert got["HTTP_HOST"] == f"{host}:{site.https}"


@pytest.mark.parametrize(
    "host",
    [
        "SHOP.Example.COM",
        "localhost.",
        "localhost:1",
        "shop.example.com.",
        "any.localhost",
        "[::1]",
    ],
)
def test_a_name_is_the_same_however_it_is_written(site: Hosted, host: str) -> None:
    assert request(site, "GET / HTTP/1.1", host=host)[0] == 200


STRANGE = [
    "evil.example",
    "shop.example.com.evil.example",
    "x.shop.example.com",
    "192.0.2.7",
    "evillocalhost",
    "localhost.evil.example",
]


@pytest.mark.parametrize("host", STRANGE)
def test_a_foreign_name_is_answered_421_and_not_repeated(site: Hosted, host: str) -> None:
    status, head, body = request(site, "GET /secret HTTP/1.1", host=host)
    assert status == 421
    assert host not in head + body.decode()


def test_a_foreign_name_is_answered_421_over_http_2_too(site: Hosted) -> None:
    done = curl(site, "--http2", "-H", "Host: evil.example", "--write-out", "%{http_code}")
    assert done.stdout.endswith(b"421"), done.stderr
    assert b"evil" not in done.stdout


@pytest.mark.parametrize("host", ["", "a b", "evil/../x", "evil@localhost", "[::1", "a,b"])
def test_a_host_that_is_no_name_is_refused(site: Hosted, host: str) -> None:
    assert request(site, "GET / HTTP/1.1", host=host)[0] in (400, 421)


def test_the_certificate_names_the_site_and_this_machine_and_stays(site: Hosted) -> None:
    def served() -> tuple[bytes | None, Any]:
        with tls(site, "shop.example.com") as connection:
            return connection.getpeercert(binary_form=True), connection.getpeercert()

    first, facts = served()
    assert set(facts["subjectAltName"]) == {
        ("DNS", "shop.example.com"),
        ("DNS", "xn--bcher-kva.example"),
        ("DNS", "localhost"),
        ("DNS", "requests.localhost"),
        ("IP Address", "127.0.0.1"),
        ("IP Address", "0:0:0:0:0:0:0:1"),
    }
    assert site.down().returncode == 0
    assert site.up().returncode == 0
    assert served()[0] == first
