"""What the app finds in os.environ is what was written for it, and little else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.environ import DatabaseAddress, Given, compose, read_dotenv
from hostel.errors import UsageError

HERE = Given(
    name="guestbook",
    user="ada",
    home=Path("/home/ada"),
    own_account=True,
    venv=Path("/srv/venv"),
    url="https://localhost:8443",
    domains=("a.example", "www.a.example"),
    data=Path("/srv/data"),
)

text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0="), min_size=1)
environments = st.dictionaries(names, text)


def test_the_whole_environment_of_a_plain_site() -> None:
    assert compose({}, {}, HERE, {}) == {
        "HOME": "/home/ada",
        "USER": "ada",
        "LOGNAME": "ada",
        "PATH": "/srv/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "VIRTUAL_ENV": "/srv/venv",
        "HOSTEL_SITE": "guestbook",
        "HOSTEL_URL": "https://localhost:8443",
        "HOSTEL_DOMAINS": "a.example,www.a.example",
        "DATA_DIR": "/srv/data",
    }


@given(environments)
def test_nothing_of_the_caller_leaks_in_but_a_short_list(caller: dict[str, str]) -> None:
    plain = compose({}, {}, HERE, {})
    allowed = {"HOME", "USER", "LOGNAME", "TZ", "TMPDIR"}
    for name, value in compose({}, {}, HERE, caller).items():
        assert plain.get(name) == value or name in allowed


def test_the_short_list_of_the_caller() -> None:
    caller = {
        "HOME": "/elsewhere",
        "TZ": "Europe/Rome",
        "TMPDIR": "/scratch",
        "PATH": "/evil",
        "LANG": "de_DE.ISO-8859-1",
        "LC_ALL": "C",
        "PYTHONPATH": "/evil",
    }
    made = compose({}, {}, HERE, caller)
    assert (made["HOME"], made["TZ"], made["TMPDIR"]) == ("/elsewhere", "Europe/Rome", "/scratch")
    assert made["LANG"] == "C.UTF-8"
    assert "/evil" not in made["PATH"]
    assert not {"LC_ALL", "PYTHONPATH"} & set(made)


def test_as_another_account_the_caller_keeps_its_home_and_its_temporary_folder() -> None:
    made = compose(
        {},
        {},
        replace(HERE, own_account=False),
        {"HOME": "/root", "TMPDIR": "/root/t", "TZ": "UTC"},
    )
    assert (made["HOME"], made["USER"], made["TZ"]) == ("/home/ada", "ada", "UTC")
    assert "TMPDIR" not in made


@given(environments, environments)
def test_values_of_the_site_come_through_unchanged(
    site_env: dict[str, str], dotenv: dict[str, str]
) -> None:
    made = compose(site_env, dotenv, HERE, {})
    for name, value in site_env.items():
        assert made[name] == dotenv.get(name, value)
    assert {name: made[name] for name in dotenv} == dotenv


def test_dotenv_wins_over_the_site_file_and_that_over_hostel() -> None:
    made = compose({"A": "site", "LANG": "it_IT.UTF-8", "DATA_DIR": "/x"}, {"A": "env"}, HERE, {})
    assert (made["A"], made["LANG"], made["DATA_DIR"]) == ("env", "it_IT.UTF-8", "/x")


@given(names, names, text.map(lambda name: Path(f"/run/{name}")))
def test_a_database_is_given_as_url_and_as_variables(
    role: str, name: str, socket_dir: Path
) -> None:
    database = DatabaseAddress(role, name, socket_dir)
    made = compose({}, {}, replace(HERE, database=database), {})
    url = urlsplit(made["DATABASE_URL"])
    assert url.scheme == "postgresql"
    assert (url.username, url.password, url.hostname) == (quote(role, safe=""), None, None)
    assert unquote(url.path[1:]) == name
    assert parse_qs(url.query) == {"host": [str(socket_dir)]}
    assert made["PGHOST"] == str(socket_dir)
    assert (made["PGUSER"], made["PGDATABASE"], made["PGPORT"]) == (role, name, "5432")


def test_the_url_of_a_usual_database() -> None:
    database = DatabaseAddress("guestbook", "guestbook", Path("/tmp/hostel-1/x"))
    made = compose({}, {}, replace(HERE, database=database), {})
    assert made["DATABASE_URL"] == "postgresql://guestbook@/guestbook?host=%2Ftmp%2Fhostel-1%2Fx"


# -- .env -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("A=b", {"A": "b"}),
        ("export A=b\n", {"A": "b"}),
        ("A = b # comment\n", {"A": "b"}),
        ("A=b#c", {"A": "b#c"}),
        ("A='b # c'", {"A": "b # c"}),
        ('A="one\\ntwo"', {"A": "one\ntwo"}),
        ('A="one\ntwo"\nB=1', {"A": "one\ntwo", "B": "1"}),
        ("A='it\\'s'", {"A": "it's"}),
        ("A=", {"A": ""}),
        ("A", {}),
        ("# A=b\n\n", {}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=$B ${C}", {"A": "$B ${C}"}),
        ("A=x=y", {"A": "x=y"}),
        ("A=über\r\nB=日本\r\n", {"A": "über", "B": "日本"}),
        ("\ufeffA=b", {"A": "b"}),
        ("", {}),
    ],
)
def test_a_dotenv_file_is_read_as_python_dotenv_does(said: str, read: dict[str, str]) -> None:
    assert read_dotenv(said, ".env") == read


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("A=b\nB='s3cret\n", 2),
        ("A=b\n\n\nB 's3cret'\n", 4),
        ("A=1\r\n\r\n=s3cret", 3),
        ('A="x\ny"\n\nB="s3cret\n', 4),
        ("A=b\nB=s3cret\0", 2),
        ("'A=B'=s3cret", 1),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line_and_never_shown(said: str, line: int) -> None:
    with pytest.raises(UsageError) as caught:
        read_dotenv(said, ".env")
    assert f"line {line} " in caught.value.happened
    assert "s3cret" not in f"{caught.value} {caught.value.remedy} {caught.value.detail}"


@given(st.text())
def test_any_other_text_is_an_environment_or_a_usage_error(said: str) -> None:
    try:
        read = read_dotenv(said, ".env")
    except UsageError:
        return
    assert all(
        name and "=" not in name and "\0" not in name + value for name, value in read.items()
    )


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True).filter(lambda n: n != "export"),
        text,
    )
)
def test_quoted_values_come_back_unchanged(env: dict[str, str]) -> None:
    lines = (
        "{}='{}'\n".format(name, value.replace("\\", "\\\\").replace("'", "\\'"))
        for name, value in env.items()
    )
    assert read_dotenv("".join(lines), ".env") == env
