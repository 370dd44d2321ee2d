"""The router's configuration: nothing that a route contains can become more than a word of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel import haproxy
from hostel.haproxy import Route, RouterPaths, RouterPorts, Unroutable

PORTS = RouterPorts()
PATHS = RouterPaths()
BLOG = Route("blog", ("blog.example", "www.blog.example"), "127.0.0.1:21000", "127.0.0.1:21001")
SHOP = Route("shop", ("shop.example",), "127.0.0.1:21002", "")

hostile = st.one_of(
    st.text(),
    st.text(st.sampled_from("ab.-:[]# \t\n\r\"'\\%${}(),;/*@_0A\x00\u0085\u2028é"), max_size=12),
    st.sampled_from(["a b", "a\nbackend x", "#a", "a\n", "%[src]", "a,b", "A.example", "", "é.de"]),
)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@given(hostile, hostile, hostile, hostile, hostile)
def test_nothing_hostile_becomes_a_directive_or_a_line_of_a_map(
    site: str, name: str, http: str, https: str, address: str
) -> None:
    """Each field alone, with all else in order: it is refused, or it adds exactly its own lines."""
    good = haproxy.texts([SHOP, BLOG], PORTS, PATHS)
    for route in (
        replace(BLOG, name=site),
        replace(BLOG, names=(name, "www.blog.example")),
        replace(BLOG, http=http or "x"),
        replace(BLOG, https=https or "x"),
    ):
        try:
            made = haproxy.texts([SHOP, route], PORTS, PATHS)
        except Unroutable:
            continue
        for file, text in made.items():
            assert [len(line.split()) for line in lines(text)] == [
                len(line.split()) for line in lines(good[file])
            ]
            assert text.isascii()
            assert text.count("\n") == good[file].count("\n")
    try:
        bound = haproxy.configuration([], replace(PORTS, addresses=(address,)), PATHS)
    except Unroutable:
        return
    assert len(lines(bound)) == len(lines(haproxy.configuration([], PORTS, PATHS))) - 2


@given(hostile)
def test_only_what_browsers_send_as_a_name_is_taken_for_one(text: str) -> None:
    try:
        assert haproxy.host_name(text) == text
    except Unroutable:
        return
    assert re.fullmatch(r"[a-z0-9.-]{1,253}", text)
    assert text[0] not in ".-"
    assert text[-1] not in ".-"


@given(st.lists(st.sampled_from(["a.example", "b.example", "c.example"]), unique=True))
def test_each_name_leads_to_its_own_backend_and_to_none_without_such_a_port(
    names: list[str],
) -> None:
    made = haproxy.texts([replace(SHOP, names=tuple(names)), BLOG], PORTS, PATHS)
    for name in names:
        assert f"{name} http:shop" in made[haproxy.HTTP_MAP].splitlines()
        assert name not in made[haproxy.HTTPS_MAP]
    assert "www.blog.example https:blog" in made[haproxy.HTTPS_MAP].splitlines()
    assert "backend https:shop" not in made[haproxy.CONFIG]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        ":80",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "300.0.0.1:80",
        "localhost:80",
        "::1:80",
        "127.0.0.1:80 check",
        "unix@/x",
        "127.0.0.1:080",
        "[127.0.0.1]:x",
        "[::1%lo]:80",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Unroutable):
        haproxy.address_of(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:65535", "10.1.2.3:21000"])
def test_an_address_stays_as_it_is(address: str) -> None:
    assert haproxy.address_of(address) == address


@pytest.mark.parametrize("folder", ["/a b", "relative", "/a,b", "/a)b", "/a'b", "/a\nb", "/ä"])
def test_a_folder_that_an_expression_could_not_hold_is_refused(folder: str) -> None:
    with pytest.raises(Unroutable):
        haproxy.configuration([], PORTS, replace(PATHS, folder=Path(folder)))
    with pytest.raises(Unroutable):
        haproxy.configuration([], PORTS, replace(PATHS, socket=Path(folder)))


def test_the_structure_is_the_same_for_other_addresses_and_another_for_all_else() -> None:
    first = haproxy.structure([BLOG, SHOP], PORTS, PATHS)
    moved = replace(BLOG, http="127.0.0.1:22000", https="[::1]:22001")
    assert haproxy.structure([SHOP, moved], PORTS, PATHS) == first
    others = [
        haproxy.structure([BLOG], PORTS, PATHS),
        haproxy.structure([BLOG, replace(SHOP, https="127.0.0.1:1")], PORTS, PATHS),
        haproxy.structure([BLOG, replace(SHOP, names=("other.example",))], PORTS, PATHS),
        haproxy.structure([BLOG, SHOP], replace(PORTS, http=8080), PATHS),
        haproxy.structure([BLOG, SHOP], replace(PORTS, addresses=("0.0.0.0",)), PATHS),
        haproxy.structure([BLOG, SHOP], PORTS, replace(PATHS, socket=Path("/run/other.sock"))),
    ]
    assert len({first, *others}) == 7


def test_the_configuration_tells_its_own_structure() -> None:
    digest = haproxy.structure([BLOG], PORTS, PATHS)
    assert f"    description {digest}\n" in haproxy.configuration([BLOG], PORTS, PATHS)


def test_nothing_is_left_to_fill_in() -> None:
    text = haproxy.configuration([BLOG, SHOP], PORTS, PATHS)
    assert "@" not in text
    assert "bind 0.0.0.0:80\n" in text
    assert "bind [::]:443 v6only\n" in text


def test_the_order_of_routes_makes_no_difference() -> None:
    assert haproxy.texts([BLOG, SHOP], PORTS, PATHS) == haproxy.texts([SHOP, BLOG], PORTS, PATHS)


def test_a_name_of_two_sites_is_found_and_never_written() -> None:
    thief = replace(SHOP, names=("shop.example", "www.blog.example"))
    assert haproxy.clash([BLOG, thief]) == haproxy.Clash("www.blog.example", "blog", "shop")
    assert haproxy.clash([BLOG, SHOP]) is None
    with pytest.raises(Unroutable, match=r"www\.blog\.example is claimed by blog and shop"):
        haproxy.texts([BLOG, thief], PORTS, PATHS)


def test_a_site_has_one_route() -> None:
    with pytest.raises(Unroutable, match="two routes"):
        haproxy.to_json([BLOG, replace(SHOP, name="blog")])


def test_routes_are_read_back_as_they_were() -> None:
    assert haproxy.from_json(haproxy.to_json([SHOP, BLOG])) == [BLOG, SHOP]
    assert haproxy.from_json(haproxy.to_json([])) == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", "null", "{}", "[" * 100_000),
        '{"version": 1, "routes": [1]}',
        '{"version": 2, "routes": []}',
        '{"version": 1, "routes": [{"name": "a", "names": [1], "http": "", "https": ""}]}',
        '{"version": 1, "routes": [{"name": "a", "names": "b", "http": "x y", "https": ""}]}',
    ],
)
def test_a_damaged_list_of_routes_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(ValueError):
        haproxy.from_json(text)
