"""Every site has a user of its own, with a name that the system takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.site_values import name as checked
from hostel.unix_names import is_ours, user_of

site_names = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)
long_names = st.from_regex(r"a[a-z]{2}-{0,2}[a-z0-9]{20,27}", fullmatch=True)


def accepted(name: str) -> bool:
    try:
        return checked(name) == name
    except ValueError:
        return False


@given(site_names.filter(accepted))
def test_every_site_name_makes_a_name_that_useradd_takes_everywhere(name: str) -> None:
    user = user_of(name)
    assert re.fullmatch(r"[a-z_][a-z0-9_-]*", user)
    assert len(user) <= 32
    assert user.startswith("hostel-")
    assert is_ours(user)
    assert user_of(name) == user


@given(st.lists(st.one_of(site_names, long_names), unique=True, max_size=20))
def test_two_sites_never_share_a_user(names: list[str]) -> None:
    assert len({user_of(name) for name in names}) == len(names)


@given(st.from_regex(r"[a-z][a-z0-9-]{24,30}", fullmatch=True))
def test_no_short_name_makes_the_user_of_a_long_one(name: str) -> None:
    """Not even one that was chosen to look like its digest."""
    disguised = user_of(name).removeprefix("hostel-")
    assert len(user_of(name)) == 32
    assert disguised == name or user_of(disguised) != user_of(name)


def test_names_that_differ_only_at_their_end_differ() -> None:
    assert user_of("a" * 30 + "b") != user_of("a" * 30 + "c")


def test_a_short_name_is_kept_to_be_recognised() -> None:
    assert user_of("guestbook") == "hostel-guestbook"
    assert user_of("a" * 31).startswith("hostel-aaaaaaaaaaaa")


@pytest.mark.parametrize(
    "name", ["root", "hostel", "hostel-", "hostel--x", "hostel-A", "-hostel-a"]
)
def test_users_of_other_names_are_not_ours(name: str) -> None:
    assert not is_ours(name)
    assert not is_ours(f"hostel-{'a' * 26}")
