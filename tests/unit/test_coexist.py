"""Snippets for a server that holds the ports: nothing but names and ports gets into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.coexist import snippet
from hostel.haproxy import RouterPorts

PORTS = RouterPorts(8080, 8443)


@given(st.sampled_from(["nginx", "apache2", "caddy"]), st.text(max_size=30))
def test_a_hostile_name_gets_into_no_snippet(holder: str, name: str) -> None:
    plain = snippet(holder, ["a.example"], PORTS).text
    try:
        text = snippet(holder, [name], PORTS).text
    except ValueError:
        return
    assert text == plain.replace("a.example", name)


@pytest.mark.parametrize("holder", ["nginx", "apache2", "httpd"])
def test_every_name_and_both_ports_are_in_it(holder: str) -> None:
    text = snippet(holder, ["a.example", "b.example"], PORTS).text
    for part in ("a.example", "b.example", "127.0.0.1:8080", "127.0.0.1:8443"):
        assert part in text


def test_a_server_that_is_not_known_is_told_what_to_do_in_words() -> None:
    made = snippet("caddy", ["a.example"], PORTS)
    assert made.text == ""
    for part in ("caddy", "a.example", "127.0.0.1:8080", "127.0.0.1:8443"):
        assert part in made.notes[0]


def test_the_own_sites_of_nginx_get_a_port_that_the_router_has_not() -> None:
    assert "default 127.0.0.1:4444;" in snippet("nginx", ["a.example"], RouterPorts(80, 4443)).text


def test_a_site_without_names_is_refused() -> None:
    with pytest.raises(ValueError, match="without names"):
        snippet("nginx", [], PORTS)
