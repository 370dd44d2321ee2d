"""PostgreSQL's three files as text; how PostgreSQL reads them is tested with a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.errors import HostelError
from hostel.postgres import remedy
from hostel.postgres_conf import HBA, conf, digest, ident, literal, settings
from hostel.resources.cluster import locale_options


def of(**changes: object) -> str:
    given = {
        "role": "guestbook",
        "runner": "alice",
        "operator": "alice",
        "socket_dir": Path("/run/x"),
        "max_connections": 20,
    }
    return settings(**{**given, **changes}).ident  # type: ignore[arg-type]


def test_only_peer_over_the_socket_lets_anybody_in() -> None:
    rules = [line for line in HBA.splitlines() if not line.startswith("#")]
    assert rules == ["local all all peer map=hostel"]


def test_an_ordinary_user_is_the_site_and_its_superuser() -> None:
    assert of().splitlines()[1:] == ['hostel "alice" "guestbook"', 'hostel "alice" "postgres"']


def test_under_root_the_apps_user_is_the_site_only() -> None:
    lines = of(runner="www-data", operator="root").splitlines()
    assert [line for line in lines if "www-data" in line] == ['hostel "www-data" "guestbook"']
    assert 'hostel "root" "postgres"' in lines


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_name_adds_a_line(user: str, role: str) -> None:
    try:
        text = ident([(user, role)])
    except HostelError:
        return
    assert text.count("\n") == 2
    assert "\r" not in text


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "x" * 201])
def test_names_that_no_line_can_hold_are_refused(name: str) -> None:
    with pytest.raises(HostelError):
        ident([("user", name)])
    with pytest.raises(HostelError):
        ident([(name, "role")])


@given(st.text())
def test_a_string_stays_on_its_line_and_within_its_quotes(text: str) -> None:
    written = literal(text)
    assert "\n" not in written
    inside = written[1:-1].replace("\\\\", "").replace("''", "")
    assert "'" not in inside


def test_a_socket_folder_with_quotes_and_commas_stays_one_folder() -> None:
    line = r"""unix_socket_directories = '"/a,""b''c\\d"'"""
    assert line in conf(Path("""/a,"b'c\\d"""), 20).splitlines()


def test_every_setting_counts_for_the_digest() -> None:
    texts = ("a", "b", "c")
    assert len({digest(*texts), digest("ab", "", "c"), digest("a", "b", "d")}) == 3
    assert digest(*texts) == digest(*texts)


def test_utf8_sorts_the_same_everywhere() -> None:
    assert locale_options(15, "linux") == ["--locale=C.UTF-8"]
    assert "--builtin-locale=C.UTF-8" in locale_options(17, "linux")
    assert "--lc-ctype=en_US.UTF-8" in locale_options(18, "darwin")


def test_the_wheel_is_no_cure_for_an_older_cluster() -> None:
    assert "pip install" in remedy(None)
    assert "pip install" in remedy(18)
    assert "pip install" not in remedy(15)
