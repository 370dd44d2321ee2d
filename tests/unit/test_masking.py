"""What looks like a secret is hidden, and so is how long it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.envstore import LONGEST
from hostel.masking import MASK, EnvChange, difference, looks_secret, masked, plain

names = st.text(min_size=1)
values = st.text()


@pytest.mark.parametrize("name", [
    "SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "API_TOKEN", "DB_PASSWORD", "PGPASSWORD", "MYSQL_PWD",
    "SENTRY_DSN", "apikey", "SESSION_COOKIE", "SMTP_PASS", "OAuth_Client", "PRIVATE", "SALT",
])  # fmt: skip
def test_a_name_that_speaks_of_a_secret_hides_any_value(name: str) -> None:
    assert masked(name, "1") == MASK
    assert masked(name, "a much longer value") == MASK


@pytest.mark.parametrize("value", [
    "postgresql://shop:hunter2@db.example/shop", "https://token@example.com/", "amqp://:x@mq",
    "postgres://u:p/w@host/db", "host=db user=shop password=hunter2", "a?b=1&api_key=42",
    '{"client_secret": "x"}', "-----BEGIN OPENSSH PRIVATE KEY-----\nabc", "ghp_abcdefghij",
    "sk_live_12345", "xoxb-1-2", "eyJhbGciOi.eyJzdWI", "0123456789abcdef" * 2,
    "wJalrXUtnFEMIK7MDENGbPxRfiCY", "AKIAIOSFODNN7EXAMPLE",
])  # fmt: skip
def test_a_value_that_is_or_holds_a_secret_is_hidden_whatever_its_name(value: str) -> None:
    assert masked("THING", value) == MASK


@pytest.mark.parametrize(("name", "value"), [
    ("DEBUG", "1"), ("MYTEST", "abc"), ("PWD", "/srv"), ("OLDPWD", "/"), ("PORT", "8000"),
    ("BASE_URL", "https://shop.example/path?q=1"), ("LANG", "C.UTF-8"), ("TZ", "Europe/Berlin"),
    ("PATH", "/srv/hostel/shop/venvs/0123456789abcdef0123456789abcdef/bin:/usr/bin"),
    ("DJANGO_SETTINGS_MODULE", "mysite.settings.production"), ("NAME", "Grüße"),
])  # fmt: skip
def test_plain_configuration_can_be_read(name: str, value: str) -> None:
    assert masked(name, value) == value


@given(names, values)
def test_what_the_store_keeps_is_hidden_whatever_it_is(name: str, value: str) -> None:
    assert masked(name, value, secret=True) == MASK


@given(values, values)
def test_a_shown_value_is_one_printable_line_that_tells_values_apart(one: str, other: str) -> None:
    assert plain(one).isprintable()
    assert (plain(one) == plain(other)) == (one == other)


def test_no_value_reaches_the_terminal_as_an_instruction() -> None:
    assert plain("a\x1b[2Jb\r\n\\n\u202e") == r"a\x1b[2Jb\r\n\\n\u202e"


def test_an_empty_value_is_seen_to_be_one() -> None:
    assert masked("DEBUG", "") == '""'


def test_differences_come_in_order_of_names_with_what_happens() -> None:
    before = {"B": "1", "C": "same", "A_KEY": "old", "GONE": "x"}
    after = {"B": "2", "C": "same", "A_KEY": "new", "NEW": "y"}
    assert difference(before, after) == [
        EnvChange("A_KEY", "change", MASK, MASK),
        EnvChange("B", "change", "1", "2"),
        EnvChange("GONE", "remove", "x", None),
        EnvChange("NEW", "set", None, "y"),
    ]


def test_both_sides_are_hidden_where_one_is_a_secret() -> None:
    (change,) = difference({"DB": "postgres://u:p@h/d"}, {"DB": "sqlite:///x"})
    assert (change.before_masked, change.after_masked) == (MASK, MASK)


@given(st.dictionaries(names, values), st.dictionaries(names, values))
def test_no_difference_shows_a_value_of_the_store(
    before: dict[str, str], after: dict[str, str]
) -> None:
    changes = difference(before, after, {*before, *after})
    assert {one.name for one in changes} == {
        name for name in {*before, *after} if before.get(name) != after.get(name)
    }
    for one in changes:
        assert one.before_masked in (None, MASK)
        assert one.after_masked in (None, MASK)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("piece", ["a,", "KEY", "a://", "a.", "=", "A1a ", "0", "eyJ", " ", "@"])
def test_no_value_keeps_it_busy_until_the_end_of_days(piece: str) -> None:
    """In quadratic time, some of these would take hours."""
    looks_secret("THING", piece * (LONGEST // len(piece)))
    looks_secret(piece * (LONGEST // len(piece)), "")
