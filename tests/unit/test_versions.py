"""What projects write when they ask for a Python."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.versions import NotAVersion, fits, parse


@pytest.mark.parametrize(
    ("wish", "yes", "no"),
    [
        ("3.11", "3.11.2 3.11.0", "3.12.0 3.1.11 3.1"),
        ("3.11.2", "3.11.2", "3.11.3 3.11.20"),
        ("3", "3.11.2 3.14.0", ""),
        ("cpython-3.12", "3.12.1", "3.11.2"),
        ("python3.12", "3.12.1", "3.11.2"),
        ("cpython@3.12.1", "3.12.1", "3.12.2"),
        (">=3.11", "3.11.0 3.14.1", "3.10.9"),
        (">= 3.11, < 3.13", "3.11.2 3.12.9", "3.13.0 3.10.1"),
        (">3.11", "3.11.2 3.12.0", "3.11.0"),
        ("<=3.12", "3.11.9 3.12.0", "3.12.1"),
        ("~=3.11", "3.11.0 3.14.2", "3.10.9 4.0.0"),
        ("~=3.11.2", "3.11.2 3.11.9", "3.11.1 3.12.0"),
        ("==3.11.*", "3.11.2", "3.12.0"),
        (">=3.9,!=3.11.1", "3.11.2 3.11.0", "3.11.1"),
        (">=3.9,!=3.12.*", "3.11.2", "3.12.0 3.12.5"),
        ("^3.11", "3.11.2 3.14.0", "3.10.9 4.0.0"),
        ("~3.11", "3.11.2", "3.12.0"),
        ("3.11 || 3.13", "3.11.2 3.13.0", "3.12.0"),
        ("*", "3.11.2", ""),
        ("3.11.x", "3.11.2", "3.12.0"),
        (">=3.11.0rc1", "3.11.0", "3.10.0"),
    ],
)
def test_a_wish_admits_these_versions_and_not_those(wish: str, yes: str, no: str) -> None:
    test = fits(wish)
    assert [version for version in yes.split() if not test(parse(version))] == []
    assert [version for version in no.split() if test(parse(version))] == []


@pytest.mark.parametrize("wish", ["", "banana", "pypy3.10", ">=", ",", "system"])
def test_what_is_no_version_is_refused(wish: str) -> None:
    with pytest.raises(NotAVersion):
        fits(wish)


@given(st.text(max_size=30))
def test_any_text_is_either_read_or_refused(wish: str) -> None:
    with contextlib.suppress(NotAVersion):
        assert fits(wish)((3, 11, 2)) in (True, False)
