"""An instance's configuration: what is in it for which site, and nothing that others put there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.httpd import Unquotable
from hostel.instance_conf import Instance, StaticFolder, configuration, modules, names

RUN = Path("/srv/shop/run")
PLAIN = Instance(
    name="shop",
    modules_dir=Path("/usr/lib/apache2/modules"),
    builtin=frozenset({"core.c", "mod_unixd.c"}),
    mod_wsgi=Path("/cache/mod_wsgi.so"),
    venv=Path("/srv/shop/venv"),
    script=Path("/srv/shop/wsgi.py"),
    run=RUN,
    log=Path("/srv/shop/log"),
    drain_flag=Path("/srv/shop/drain"),
    generation="0123456789abcdef",
    addresses=("127.0.0.1", "::1"),
    http_port=8080,
    https_port=8443,
    certificate=Path("/srv/shop/tls.pem"),
    domains=(),
    any_name=False,
    processes=2,
    threads=8,
    request_timeout=60,
    max_body=1000,
    static=(StaticFolder("/static", Path("/srv/shop/static")),),
)
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


def lines(text: str, directive: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.split()[0] == directive]


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


@settings(deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20))
def test_a_prefix_is_no_pattern_in_the_rule_that_hides_dotfiles(prefix: str) -> None:
    text = configuration(replace(PLAIN, static=(StaticFolder(f"/{prefix}", Path("/f")),)))
    [said] = lines(text, "RedirectMatch")
    argument = said.removeprefix("RedirectMatch 404 ")
    pattern = argument[1:-1] if argument.startswith('"') else argument
    pattern = pattern.replace('\\"', '"').replace("\\\\", "\\").replace("${HOSTEL_DOLLAR}", "$")
    pattern = pattern.replace("[[]", r"\[").replace("[\\]", r"\\").replace("[^]", r"\^")
    assert re.match(pattern, f"/{prefix}/.git/config")
    assert re.match(pattern, f"/{prefix}/a/.env")
    assert not re.match(pattern, f"/{prefix}/a.b/c.css")


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


def test_strangers_names_are_refused_unless_any_name_is_welcome() -> None:
    assert "Redirect 421 /" in configuration(PLAIN)
    welcome = configuration(replace(PLAIN, any_name=True))
    assert "No site answers" not in welcome
    # Over plain HTTP there is no name to lead a stranger to, so nothing is made up.
    assert "Ask with https" in welcome


def test_the_redirect_goes_to_the_declared_name_and_keeps_the_usual_port_silent() -> None:
    at_home = replace(PLAIN, domains=("shop.example",), https_port=443)
    rules = lines(configuration(at_home), "RewriteRule")
    assert "https://shop.example%1" in rules[0]
    assert "https://shop.example:8443%1" in configuration(replace(at_home, https_port=8443))
    assert "HTTP_HOST" not in configuration(at_home)


def test_own_names_come_first_and_this_machine_is_always_answered() -> None:
    assert names(replace(PLAIN, domains=("b.example", "a.example")))[:2] == (
        "b.example",
        "a.example",
    )
    assert {"localhost", "127.0.0.1", "::1"} <= set(names(PLAIN))


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
