"""Through router and instance too, the app sees what was sent, and the client what the app said.

The checks are those of `test_wire`, here put to sites on a server: client, router, instance, app.
Added is what only a router can get wrong: whom a request is for, and who has sent it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from ..machines import DebianMachine
from ..test_wire import *  # noqa: F403 - every check in it is one here, with this module's `site`
from ..test_wire import (
    FILES,
    MANY,
    SITE,
    Clients,
    Request,
    asked,
    do,
    orders,
    over_tls,
    requests,
    same,
    told,
)
from ..wire import Endpoint, Http1, Http2
from .conftest import Layers

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(900)]

NAMES = {"local": "wire.example.com", "off": "plain.example.com"}
OTHER = "hello.example.com"
"""A name of another site on the server."""
SOME = settings(MANY, max_examples=25)
over_http = pytest.mark.parametrize("site", ["off"], indirect=True)
"""For what the router has to read."""


@pytest.fixture(scope="module")
def wired(layers: Layers) -> Iterator[DebianMachine]:
    """A server with three sites: hello, and the echo app once with TLS and once without."""
    with DebianMachine.boot(layers("applied")) as machine:
        folders = []
        for mode, name in NAMES.items():
            folder = f"/root/{name}"
            about = f'name = "{name.partition(".")[0]}"\ndomains = ["{name}"]\n'
            machine.write(f"{folder}/hostel.toml", about + SITE.format(mode=mode))
            for path, text in FILES.items():
                machine.write(f"{folder}/{path}", text)
            folders.append(folder)
        machine.run(["hostel", "apply", *folders], check=True, timeout=600)
        yield machine


@pytest.fixture(scope="module", params=["local", "off"])
def site(request: pytest.FixtureRequest, wired: DebianMachine) -> Endpoint:
    """The app, as it is reached from outside."""
    return endpoint(wired, request.param)


def endpoint(server: DebianMachine, mode: str) -> Endpoint:
    port = 80 if mode == "off" else 443

    def connect() -> socket.socket:
        return socket.create_connection((server.address, port), 120)

    with connect() as connection:
        own = str(connection.getsockname()[0])
    trusted = None if mode == "off" else server.read("/var/lib/hostel/ca/ca.crt")
    return Endpoint(connect, NAMES[mode], port, trusted, own, filtered=mode == "off")


# -- any request, any answer ----------------------------------------------------------------------


@SOME
@given(requests())
def test_the_app_sees_what_was_sent(clients: Clients, request_: Request) -> None:
    same(clients.site, request_, "HTTP/1.1", clients.over_http1(request_))


@over_tls
@SOME
@given(requests())
def test_the_app_sees_what_was_sent_over_http_2(clients: Clients, request_: Request) -> None:
    same(clients.site, request_, "HTTP/2.0", clients.over_http2(request_))


@SOME
@given(orders(), asked)
def test_the_client_sees_what_the_app_said(
    clients: Clients, order: dict[str, Any], method: str
) -> None:
    asking = Request(method, "/", (do(**order),))
    same(clients.site, asking, "HTTP/1.1", clients.over_http1(asking))


@over_tls
@SOME
@given(orders(), asked)
def test_the_client_sees_what_the_app_said_over_http_2(
    clients: Clients, order: dict[str, Any], method: str
) -> None:
    asking = Request(method, "/", (do(**order),))
    same(clients.site, asking, "HTTP/2.0", clients.over_http2(asking))


# -- from whom ------------------------------------------------------------------------------------


def test_the_client_is_who_came_to_the_router_whatever_it_says(site: Endpoint) -> None:
    lies = (("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=10.0.0.1"), ("X-Real-IP", "::1"))
    with Http1(site) as wire:
        for _ in range(2):
            wire.send(Request("GET", "/", lies).http1(site))
            got = told(wire.reply())
            assert got["REMOTE_ADDR"] == site.remote_addr
            assert got["wsgi.url_scheme"] == site.scheme
            assert (got["SERVER_NAME"], got["SERVER_PORT"]) == (site.host, str(site.port))


def test_who_plays_the_router_is_not_heard(site: Endpoint) -> None:
    with contextlib.suppress(ssl.SSLError, ConnectionError), site.connect() as plain:
        plain.sendall(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n")
        if site.tls:
            plain = site.context().wrap_socket(plain, server_hostname=site.host)
        plain.sendall(Request("GET", "/").http1(site))
        assert b"wsgi" not in plain.recv(65536)


# -- for whom -------------------------------------------------------------------------------------


def get(host: str, target: str = "/", line: str = "") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{line}\r\n".encode("latin-1")


CLOSE = "Connection: close\r\n"


def test_a_request_for_another_site_on_this_ones_connection_is_refused(site: Endpoint) -> None:
    """As a browser may send one where one certificate is for both."""
    with Http1(site) as wire:
        wire.send(get(site.name))
        assert told(wire.reply())["HTTP_HOST"] == site.name
        wire.send(get(OTHER) + get("unknown.example.com") + get(site.name))
        assert [wire.reply().status for _ in range(3)] == [421, 421, 200]


@over_tls
def test_a_request_for_another_site_on_this_ones_connection_is_refused_over_http_2(
    site: Endpoint,
) -> None:
    with Http2(site) as wire:
        for name, status in [(site.host, 200), (OTHER, 421), (site.host, 200)]:
            wire.endpoint = replace(site, host=name)
            assert wire.reply(wire.request(b"GET", b"/")).status == status


def test_a_request_for_this_site_on_another_ones_connection_does_not_reach_it(
    site: Endpoint,
) -> None:
    other = replace(site, host=OTHER)
    with Http1(other) as wire:
        wire.send(get(OTHER))
        first = wire.reply()
        assert (first.status, first.body) == (200, b"hello") if site.tls else first.status == 308
        wire.send(get(site.name))
        answer = wire.reply()
    # Port 80 of a site with TLS leads whoever comes there to its own name.
    assert answer.status == (421 if site.tls else 308)
    assert answer.all(b"location") == ([] if site.tls else [f"https://{OTHER}/".encode()])


def test_a_site_with_tls_is_led_there_and_one_without_is_not_found_there(
    wired: DebianMachine,
) -> None:
    secure, plain = endpoint(wired, "local"), endpoint(wired, "off")
    with Http1(replace(plain, host=secure.host)) as wire:
        wire.send(get(secure.name, "/a//b%2F?c"))
        answer = wire.reply()
    assert answer.status == 308
    assert answer.all(b"location") == [f"https://{secure.name}/a//b%2F?c".encode()]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        replace(secure, host=plain.host).open()


@over_tls
@pytest.mark.parametrize("name", ["unknown.example.com", "example.com", "a.wire.example.com", ""])
def test_who_names_no_site_here_gets_no_certificate(site: Endpoint, name: str) -> None:
    """Nor who names none at all, as one who comes by the address does."""
    context = site.context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with site.connect() as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname=name or None)


@over_http
@pytest.mark.parametrize(
    "asking",
    [get("unknown.example.com", line=CLOSE), get("", line=CLOSE), b"GET / HTTP/1.0\r\n\r\n",
     get("10.0.0.1", line=CLOSE), get("a.plain.example.com", line=CLOSE)],
    ids=repr,
)  # fmt: skip
def test_who_asks_for_no_site_here_is_refused(site: Endpoint, asking: bytes) -> None:
    with Http1(site) as wire:
        wire.send(asking)
        got = wire.rest()
    assert site.refuses(got, 421)


OWN = NAMES["off"]
AMBIGUOUS = {
    "two hosts": get(OWN, line=f"Host: {OTHER}\r\n"),
    "two hosts, the other one first": get(OTHER, line=f"Host: {OWN}\r\n"),
    "a list": get(f"{OWN}, {OTHER}"),
    "a list, the other one first": get(f"{OTHER}, {OWN}"),
    "a whole URL": get(OWN, f"http://{OTHER}/"),
    "a whole URL of this one": get(OTHER, f"http://{OWN}/"),
    "a whole URL with a user": get(OWN, f"http://{OTHER}@{OWN}/"),
    "a whole URL with this one as user": get(OWN, f"http://{OWN}@{OTHER}/"),
    "a whole URL with a backslash": get(OWN, f"http://{OWN}\\@{OTHER}/"),
    "a user": get(f"{OTHER}@{OWN}"),
    "this one as user": get(f"{OWN}@{OTHER}"),
    "a space before the colon": f"GET / HTTP/1.1\r\nHost : {OTHER}\r\nHost: {OWN}\r\n\r\n".encode(),
    "a fold": f"GET / HTTP/1.1\r\nHost:\r\n {OTHER}\r\nHost: {OWN}\r\n\r\n".encode(),
    "a fold at the beginning": f"GET / HTTP/1.1\r\n Host: {OTHER}\r\nHost: {OWN}\r\n\r\n".encode(),
    "a line that ends in LF": get(OWN, line=f"X: 1\nHost: {OTHER}\r\n"),
    "a line that ends in CR": get(OWN, line=f"X: 1\rHost: {OTHER}\r\n"),
    "a NUL": get(f"{OWN}\0{OTHER}"),
    "a port that is another name": get(f"{OWN}:{OTHER}"),
    "a path": get(f"{OWN}/{OTHER}"),
    "a name as CONNECT has it": f"CONNECT {OTHER}:80 HTTP/1.1\r\nHost: {OWN}\r\n\r\n".encode(),
}
"""Requests that two readers may take for requests to two sites."""


@over_http
@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_request_that_names_two_sites_is_not_taken_for_one_to_either(
    site: Endpoint, case: str
) -> None:
    with Http1(site) as wire:
        wire.send(AMBIGUOUS[case])
        wire.socket.shutdown(socket.SHUT_WR)
        got = wire.rest()
    assert b"wsgi" not in got
    assert OTHER.encode() not in got
    assert got[:13] in (b"", b"HTTP/1.1 400 ", b"HTTP/1.1 421 ", b"HTTP/1.1 405 ")


@over_http
@pytest.mark.parametrize("name", [OWN.upper(), f"{OWN}.", f"{OWN}:80", f"{OWN}:8080", f" {OWN} "])
def test_a_name_is_known_however_it_is_written(site: Endpoint, name: str) -> None:
    with Http1(site) as wire:
        wire.send(get(name))
        assert told(wire.reply())["HTTP_HOST"] == name.strip()


@pytest.mark.parametrize(
    "first",
    ["Content-Length: 0\r\n", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
     "Transfer-Encoding: chunked\r\n", "Content-Length: 0\r\nContent-Length: 44\r\n", "X: 1\r\r\n"],
    ids=repr,
)  # fmt: skip
def test_what_follows_a_request_to_this_site_never_reaches_another(
    site: Endpoint, first: str
) -> None:
    with Http1(site) as wire:
        body = b"0\r\n\r\n" if "chunked" in first else b""
        wire.send(f"POST / HTTP/1.1\r\nHost: {site.name}\r\n{first}\r\n".encode() + body)
        wire.send(get(OTHER, line=CLOSE))
        got = wire.rest()
    assert b"\r\nhello" not in got
    assert b"Location" not in got


# -- byte by byte ---------------------------------------------------------------------------------


def test_a_request_whose_headers_come_byte_by_byte_is_served(site: Endpoint) -> None:
    with Http1(site) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in Request("POST", "/slow", (("X-A", "1"),), b"body", "chunks").http1(site):
            wire.send(bytes([byte]))
        got = told(wire.reply())
    assert (got["PATH_INFO"], got["HTTP_X_A"], got["body"]["size"]) == ("/slow", "1", 4)


@over_tls
def test_a_handshake_that_comes_byte_by_byte_is_led_to_its_site(site: Endpoint) -> None:
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    wrapped = site.context().wrap_bio(come, go, server_hostname=site.host)
    done = False
    with site.connect() as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not done:
            try:
                wrapped.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                for byte in go.read():
                    plain.sendall(bytes([byte]))
                come.write(plain.recv(65536))
    assert ("DNS", site.host) in wrapped.getpeercert()["subjectAltName"]
