"""An instance's configuration: what is in it for which site, and nothing that others put there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.httpd import Unquotable
from hostel.instance import StaticFolder
from hostel.instance_conf import configuration, modules

from .instances import PLAIN, lines

hostile = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]), st.sampled_from("\n\r\t \"'\\${}<>#%[]()*?^|")
    ),
    max_size=30,
)


def skeleton(text: str) -> list[str]:
    """The first word of every line: the directives, whatever their arguments."""
    assert text.endswith("\n")
    return [line.split()[0] for line in text.split("\n")[:-1]]


EXPECTED = skeleton(configuration(replace(PLAIN, domains=("a.example", "b.example"))))


@settings(deadline=None)
@given(prefix=hostile, domain=hostile, folder=hostile, place=hostile)
def test_no_text_from_people_makes_a_directive(
    prefix: str, domain: str, folder: str, place: str
) -> None:
    """Whatever the site file's own checks let through: lines and their first words stay."""
    root = Path("/srv") / f"x{place}"
    instance = replace(
        PLAIN,
        domains=("a.example", domain),
        static=(StaticFolder(f"/{prefix}", root / f"x{folder}"),),
        script=root / "wsgi.py",
        log=root / "log",
        drain_flag=root / "drain",
        venv=root / "venv",
        certificate=root / "tls.pem",
    )
    try:
        text = configuration(instance)
    except Unquotable:
        assert re.search(r"[\x00-\x1f\x7f]", prefix + domain + folder + place)
        return
    assert skeleton(text) == EXPECTED


def test_control_characters_in_a_path_are_refused_not_written() -> None:
    with pytest.raises(Unquotable):
        configuration(replace(PLAIN, script=Path("/srv/a\nLoadModule x y")))


def test_only_the_modules_that_are_used_are_loaded_and_none_that_is_built_in() -> None:
    bare = replace(PLAIN, certificate=None, static=())
    assert "unixd" not in modules(PLAIN)
    assert {"ssl", "http2", "rewrite", "filter", "deflate"} <= set(modules(PLAIN))
    assert not {"ssl", "http2", "rewrite", "filter", "deflate"} & set(modules(bare))
    assert "mpm_event" not in modules(replace(PLAIN, builtin=frozenset({"event.c", "mpm_event.c"})))
    loaded = lines(configuration(bare), "LoadModule")
    assert [line.split()[1] for line in loaded] == [
        *(f"{name}_module" for name in modules(bare)),
        "wsgi_module",
    ]


def test_each_address_is_listened_on_and_brackets_are_only_for_ipv6() -> None:
    assert lines(configuration(PLAIN), "Listen") == [
        "Listen 127.0.0.1:8080",
        "Listen 127.0.0.1:8443",
        'Listen "[::1]:8080"',
        'Listen "[::1]:8443"',
    ]
    assert len(lines(configuration(replace(PLAIN, certificate=None)), "Listen")) == 2


def test_processes_and_threads_are_what_was_said() -> None:
    text = configuration(replace(PLAIN, processes=3, threads=5))
    assert "StartServers 3\n" in text
    assert "ThreadsPerChild 5\n" in text
    assert "MaxRequestWorkers 15\n" in text


def test_everything_outside_what_is_served_is_denied() -> None:
    text = configuration(PLAIN)
    assert text.count("Require all granted") == 1
    assert "<Directory />" in text
    assert "AllowOverride None" in text
    assert "Require all denied" in text
