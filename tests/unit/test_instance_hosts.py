"""The virtual hosts of an instance: who is answered, who is led elsewhere, what stays hidden."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.httpd import render
from hostel.instance import Instance, StaticFolder
from hostel.instance_hosts import hosts, names

from .instances import PLAIN, lines


def text_of(instance: Instance) -> str:
    return render(hosts(instance))


@settings(deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20))
def test_a_prefix_is_no_pattern_in_the_rule_that_hides_dotfiles(prefix: str) -> None:
    text = text_of(replace(PLAIN, static=(StaticFolder(f"/{prefix}", Path("/f")),)))
    [said] = lines(text, "RedirectMatch")
    argument = said.removeprefix("RedirectMatch 404 ")
    pattern = argument[1:-1] if argument.startswith('"') else argument
    pattern = pattern.replace('\\"', '"').replace("\\\\", "\\").replace("${HOSTEL_DOLLAR}", "$")
    pattern = pattern.replace("[[]", r"\[").replace("[\\]", r"\\").replace("[^]", r"\^")
    assert re.match(pattern, f"/{prefix}/.git/config")
    assert re.match(pattern, f"/{prefix}/a/.env")
    assert not re.match(pattern, f"/{prefix}/a.b/c.css")


def test_strangers_names_are_refused_unless_any_name_is_welcome() -> None:
    assert "Redirect 421 /" in text_of(PLAIN)
    welcome = text_of(replace(PLAIN, any_name=True))
    assert "No site answers" not in welcome
    # Over plain HTTP there is no name to lead a stranger to, so nothing is made up.
    assert "Ask with https" in welcome


def test_the_redirect_goes_to_the_declared_name_and_keeps_the_usual_port_silent() -> None:
    at_home = replace(PLAIN, domains=("shop.example",), https_port=443)
    rules = lines(text_of(at_home), "RewriteRule")
    assert "https://shop.example%1" in rules[0]
    assert "https://shop.example:8443%1" in text_of(replace(at_home, https_port=8443))
    assert "HTTP_HOST" not in text_of(at_home)


def test_own_names_come_first_and_this_machine_is_always_answered() -> None:
    assert names(replace(PLAIN, domains=("b.example", "a.example")))[:2] == (
        "b.example",
        "a.example",
    )
    assert {"localhost", "127.0.0.1", "::1"} <= set(names(PLAIN))
