"""What browsers meet at the router: each name leads to its site, and no other leads anywhere."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

import pytest

from hostel import ports

# Fixtures come from conftest.py: `router` is a running HAProxy, `instance` makes what is behind it.
END = b"\r\n\r\n"


def two_sites(router: Any, instance: Any) -> None:
    for site, names in (("blog", ["blog.example", "www.blog.example"]), ("shop", ["shop.example"])):
        plain = instance(f"{site}-http")
        secure = instance(f"{site}-https", router.certificate(names[0]))
        router.route(site, names, plain.address, secure.address)


def test_a_tls_handshake_reaches_the_site_that_it_names(router: Any, instance: Any) -> None:
    """The client checks the certificate: it is the instance's own, nothing in between opens TLS."""
    two_sites(router, instance)
    for _ in range(2):
        assert router.get_tls("blog.example", "/a") == "blog-https 127.0.0.1 /a"
        assert router.get_tls("shop.example", "/b") == "shop-https 127.0.0.1 /b"


@pytest.mark.parametrize("name", ["other.example", "xblog.example", "blog.example.x", None])
def test_a_handshake_for_nobody_here_gets_no_answer(
    router: Any, instance: Any, name: str | None
) -> None:
    two_sites(router, instance)
    if name is not None:
        router.certificate(name)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        router.get_tls(name)


def hello(name: str) -> bytes:
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(into, out, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


@pytest.mark.parametrize("name", ["blog.example", "BLOG.Example", "www.blog.example"])
def test_a_name_in_any_case_and_a_hello_in_pieces_are_understood(
    router: Any, instance: Any, name: str
) -> None:
    two_sites(router, instance)
    said = hello(name)
    with router.connect("https") as one:
        for piece in (said[:3], said[3:60], said[60:150], said[150:]):
            assert piece
            one.sendall(piece)
        assert one.recv(1) == b"\x16", "a handshake record of the instance"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: blog.example" + END, b"\x00" * 600])
def test_what_is_no_tls_gets_no_answer_on_the_https_port(
    router: Any, instance: Any, data: bytes
) -> None:
    two_sites(router, instance)
    assert router.raw(data, "https") == b""


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/", "blog.example"),
        ("/", "Blog.EXAMPLE"),
        ("/", "www.blog.example:80"),
        ("/", "blog.example."),
        ("/", "  blog.example  "),
        ("http://blog.example/", "blog.example"),
        ("http://BLOG.example:80/x", "blog.example"),
        ("HTTP://blog.example", "blog.example:80"),
        ("//shop.example/", "blog.example"),
        ("/?http://shop.example/", "blog.example"),
    ],
)
def test_a_request_reaches_the_site_of_its_host(
    router: Any, instance: Any, target: str, host: str
) -> None:
    two_sites(router, instance)
    assert router.get(host, target) == f"blog-http 127.0.0.1 {target}"


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nHost: other.example",
        "GET / HTTP/1.1\r\nHost: blog.example.other.example",
        "GET / HTTP/1.1\r\nHost: [::1]:80",
        "GET / HTTP/1.1\r\nHost:",
        "GET / HTTP/1.0",
        "GET http://other.example/ HTTP/1.1\r\nHost: other.example",
        "HEAD / HTTP/1.1\r\nHost: other.example",
        "GET / HTTP/1.1\r\nHost: other.example\r\nConnection: keep-alive",
    ],
)
def test_a_request_for_nobody_here_is_told_so_and_closed(
    router: Any, instance: Any, head: str
) -> None:
    """The client waits for the end: the router must not keep the connection."""
    two_sites(router, instance)
    answer = router.raw(head.encode() + END)
    assert answer.startswith(b"HTTP/1.1 421 ")
    text = b"" if head.startswith("HEAD") else b"No site here has this name.\n"
    assert answer.endswith(END + text)
    pipelined = b"GET / HTTP/1.1\r\nHost: blog.example" + END
    assert router.raw(head.encode() + END + pipelined) == answer


@pytest.mark.parametrize(
    "data",
    [
        b"junk" + END,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: blog.example\r\nHost: shop.example" + END,
        b"GET http://shop.example/ HTTP/1.1\r\nHost: blog.example" + END,
        b"POST / HTTP/1.1\r\nHost: other.example\r\nContent-Length: 5000000\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: other.example\r\nContent-Length: 5000000\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: other.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
        b"OPTIONS * HTTP/1.1\r\nHost: other.example" + END,
    ],
)
def test_what_would_go_on_or_cannot_be_told_whose_it_is_is_closed_without_a_word(
    router: Any, instance: Any, data: bytes
) -> None:
    two_sites(router, instance)
    assert router.raw(data) == b""


def test_a_host_with_a_user_in_it_reaches_nobody(router: Any, instance: Any) -> None:
    """Newer HAProxys close at once, older ones say that nobody is there."""
    two_sites(router, instance)
    answer = router.raw(b"GET / HTTP/1.1\r\nHost: user@blog.example" + END)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost: blog.exa"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_does_not_say_where_to_is_not_kept(
    router: Any, instance: Any, data: bytes, scheme: str
) -> None:
    """The client waits for as long as it takes; its own timeout would be an error here."""
    two_sites(router, instance)
    assert router.raw(data, scheme) == b""


def test_a_site_without_tls_has_no_name_on_the_https_port(router: Any, instance: Any) -> None:
    router.route("plain", ["plain.example"], instance("plain").address)
    assert router.get("plain.example").startswith("plain ")
    router.certificate("plain.example")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        router.get_tls("plain.example")


def test_the_true_client_is_told_by_ipv4_and_by_ipv6(router: Any, instance: Any) -> None:
    router.route("blog", ["blog.example"], instance("blog").address)
    assert router.get("blog.example") == "blog 127.0.0.1 /"
    if not ports.usable("::1"):
        pytest.skip("no IPv6 here")
    assert router.get("blog.example", address="::1") == "blog ::1 /"


def test_an_ipv4_client_of_a_router_on_every_address_is_no_ipv6_client(
    stopped: Any, instance: Any
) -> None:
    """Listening on both at once would tell it as ::ffff:127.0.0.1."""
    stopped.ports = type(stopped.ports)(stopped.ports.http, stopped.ports.https)
    stopped.__post_init__()
    stopped.start()
    stopped.route("blog", ["blog.example"], instance("blog").address)
    assert stopped.get("blog.example") == "blog 127.0.0.1 /"
    if ports.usable("::1"):
        assert stopped.get("blog.example", address="::1") == "blog ::1 /"


def test_a_kept_connection_stays_with_its_instance_through_a_switch_and_a_reload(
    router: Any, instance: Any
) -> None:
    old, new = instance("old"), instance("new")
    request = b"GET /at-%d HTTP/1.1\r\nHost: blog.example" + END
    router.route("blog", ["blog.example"], old.address)
    with router.connect() as kept:
        for number, act in enumerate(
            (
                lambda: None,
                lambda: router.route("blog", ["blog.example"], new.address),
                lambda: router.route("shop", ["shop.example"], new.address),
            )
        ):
            act()
            kept.sendall(request % number)
            answer = b""
            while b"/at-%d" % number not in answer:
                more = kept.recv(65536)
                assert more, "it was closed"
                answer += more
            assert b"old 127.0.0.1 " in answer
        assert router.get("blog.example").startswith("new ")
    assert router.reloads == 2


def test_the_admin_socket_is_nobody_elses(router: Any) -> None:
    assert router.paths.socket.stat().st_mode & 0o777 == 0o600
