"""The machine's file: strict, and every problem at once with its key and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostel import machine_file
from hostel.errors import UsageError
from hostel.haproxy import RouterPorts


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        machine_file.parse(text, "machine.toml")
    return caught.value.detail


def test_a_machine_without_the_file_has_the_usual_ports(tmp_path: Path) -> None:
    assert machine_file.load(tmp_path / "none.toml") == RouterPorts(80, 443, ("0.0.0.0", "::"))


def test_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text('[router]\nhttp = 8080\nhttps = 8443\naddresses = ["192.0.2.1", "2001:DB8::1"]')
    assert machine_file.load(path) == RouterPorts(8080, 8443, ("192.0.2.1", "2001:db8::1"))


def test_behind_another_server_it_is_reached_from_here_alone_and_has_the_usual_addresses() -> None:
    found = machine_file.parse("[router]\nhttp = 8080\nhttps = 8443\nbehind = true\n", "x")
    assert found == RouterPorts(8080, 8443, ("127.0.0.1",), behind=True)
    assert found.public == (80, 443)
    other = machine_file.parse('[router]\nbehind = true\naddresses = ["192.0.2.1"]\n', "x")
    assert other.addresses == (other.reached,) == ("192.0.2.1",)
    assert RouterPorts(8080, 8443).public == (8080, 8443)
    assert RouterPorts().reached == "127.0.0.1"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[router]\n"])
def test_what_is_left_out_has_its_default(text: str) -> None:
    assert machine_file.parse(text, "x") == RouterPorts()


def test_every_problem_is_told_with_its_key_and_line() -> None:
    text = '[router]\nhtp = 1\nhttps = "443"\naddresses = ["here"]\n\n[routr]\n'
    assert refused(text).splitlines() == [
        'machine.toml:2  [router] htp: unknown key; did you mean "http"?',
        "machine.toml:3  [router] https: must be a whole number",
        'machine.toml:4  [router] addresses: "here" is no address of this kind',
        'machine.toml:6  routr: unknown key; did you mean "router"?',
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("http = 0", "from 1 to 65535"),
        ("http = 70000", "from 1 to 65535"),
        ("http = true", "a whole number"),
        ("http = 443", "http and https are both 443"),
        ("addresses = []", "a list of addresses"),
        ('addresses = "::"', "a list of addresses"),
        ('addresses = ["::", "::"]', "twice"),
        ('addresses = ["::", "0:0:0:0:0:0:0:0"]', "twice"),
        ('addresses = ["fe80::1%eth0"]', "no address"),
        ("addresses = [7]", "no address"),
        ("behind = 1", "true or false"),
        ('"a\\nb" = 1', "unknown key"),
    ],
)
def test_a_value_that_cannot_be_is_refused(line: str, says: str) -> None:
    detail = refused(f"[router]\n{line}\n")
    assert says in detail
    assert detail.startswith("machine.toml:2  [router] ")
    assert "\n" not in detail


def test_a_router_that_is_no_table_is_refused() -> None:
    assert refused("router = 80\n") == "machine.toml:1  router: must be a table"


def test_what_is_not_toml_is_told_with_its_line() -> None:
    assert "machine.toml:2" in refused("[router]\nhttp = \n")
