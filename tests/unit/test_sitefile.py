"""The site file is read whole: every problem at once, each with its key and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostel.errors import UsageError
from hostel.sitefile import load_site, parse
from hostel.target import TOOL, Target, resolve
from hostel.toml_lines import key_lines

GIVEN = {"name": "site", "app": "site:app"}

text = st.text(st.characters(exclude_categories=("Cs",)))


def refusal(said: str) -> UsageError | None:
    try:
        parse(said, origin="hostel.toml", given=GIVEN)
    except UsageError as error:
        return error
    return None


def problems(said: str, table: tuple[str, ...] = (), origin: str = "hostel.toml") -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse(said, origin=origin, table=table, given=GIVEN)
    assert caught.value.remedy
    return caught.value.detail.splitlines()


# -- problems -------------------------------------------------------------------------------------


def test_every_problem_is_reported_with_its_line_in_the_order_of_the_file() -> None:
    said = problems(
        'name = "Guest Book"\n'
        "# a comment\n"
        "[server]\n"
        "proceses = 4\n"
        "threads = 9999\n"
        "[env]\n"
        "PORT = 8080\n"
    )
    assert [line.partition("  ")[0] for line in said] == [
        "hostel.toml:1",
        "hostel.toml:4",
        "hostel.toml:5",
        "hostel.toml:7",
    ]
    assert said[1] == 'hostel.toml:4  [server] proceses: unknown key; did you mean "processes"?'
    assert said[2] == "hostel.toml:5  [server] threads: must be at most 512"


def test_the_number_of_problems_is_said() -> None:
    with pytest.raises(UsageError, match=r"reading hostel\.toml: 1 problem$"):
        parse("nme = 1", origin="hostel.toml", given=GIVEN)
    with pytest.raises(UsageError, match="2 problems"):
        parse("nme = 1\n[srver]", origin="hostel.toml", given=GIVEN)


def test_a_key_in_the_wrong_table_is_told_where_it_belongs() -> None:
    assert problems("processes = 3") == [
        "hostel.toml:1  processes: unknown key here; it belongs in [server]"
    ]
    assert problems('[server]\ndomains = ["a.example"]') == [
        "hostel.toml:2  [server] domains: unknown key here; it belongs above all tables"
    ]


@pytest.mark.parametrize(
    "said",
    [
        "[tls]\nmode = 'acme'",
        "[database]\nprivileges = []",
        "[database]\nurl = 'x'",
    ],
)
def test_keys_kept_for_later_are_refused_with_a_sentence_of_their_own(said: str) -> None:
    (line,) = problems(said)
    assert "not part of this version of Hostel yet" in line
    assert "unknown key" not in line


def test_the_router_is_told_to_be_the_machines() -> None:
    (line,) = problems("[router]\nhttp = 80")
    assert line.startswith("hostel.toml:1  router: ")
    assert "/etc/hostel/machine.toml" in line


def test_the_keys_of_workers_and_jobs_are_known_as_those_of_tables_are() -> None:
    assert problems(
        "schedule = 'x'\n"
        "[workers]\n"
        "a = { comand = 'x' }\n"
        "B = 'x'\n"
        "c = 'a && b'\n"
        "[workers.d]\n"
        "command = 'x'\n"
        "schedule = '@daily'\n"
        "[cron]\n"
        "e = 'x'\n"
        "f = { schedule = '0 0 31 2 *', command = 'x' }\n"
    ) == [
        "hostel.toml:1  schedule: unknown key here; it belongs in [cron.NAME]",
        "hostel.toml:3  [workers.a] command: is missing",
        'hostel.toml:3  [workers.a] comand: unknown key; did you mean "command"?',
        'hostel.toml:4  [workers] B: "B" cannot be its name: a lower-case letter, then up to 20 '
        "lower-case letters, digits or hyphens",
        'hostel.toml:5  [workers.c] command: "&&" would need a shell, and no shell runs this: put '
        "the commands into a script and name it here, or ask for a shell yourself: "
        '["sh", "-c", "..."]',
        "hostel.toml:8  [workers.d] schedule: unknown key here; it belongs in [cron.NAME]",
        "hostel.toml:10  [cron] e: must be a table, not text",
        'hostel.toml:11  [cron.f] schedule: "0 0 31 2 *" never comes: Feb has no day 31',
    ]


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe"])
def test_a_time_zone_that_this_machine_does_not_know_is_refused(zone: str) -> None:
    said = f"[cron.a]\nschedule = '@daily'\ncommand = 'x'\ntimezone = '{zone}'"
    assert problems(said) == [
        f'hostel.toml:4  [cron.a] timezone: this machine knows no time zone "{zone}"'
    ]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("name = 3", "name: must be text in quotes, not a whole number"),
        ("env = 3", "env: must be a table, not a whole number"),
        ("server = 'x'", "server: must be a table, not text"),
        ("domains = 'x'", "domains: must be a list, in brackets, not text"),
        ("server = { processes = true }", "[server] processes: must be a whole number, "
         "not true or false"),
        ("server.cpu = nan", "[server] cpu: must be a number that ends"),
        ("server.cpu = '2'", "[server] cpu: must be a number, not text"),
        ("server.cpu = 0", "[server] cpu: must be at least 0.05"),
        ("server.tasks = 1", "[server] tasks: must be at least 16"),
        ("server.threads = 0", "[server] threads: must be at least 1"),
        ("tls.mode = 'of'", '[tls] mode: must be "local" or "off"; did you mean "off"?'),
        ("[server]\nlisten = []", "[server] listen: must not be empty"),
        ('"na\\nme" = 1', '"na\\nme": unknown key; did you mean "name"?'),
    ],
)  # fmt: skip
def test_wrong_values_are_said_in_words(said: str, line: str) -> None:
    (found,) = problems(said)
    assert found.partition("  ")[2] == line


def test_the_item_of_a_list_is_named() -> None:
    assert problems('domains = [\n  "a.example",\n  "*.b.example",\n]')[0].startswith(
        "hostel.toml:1  [domains] item 2: "
    )


def test_in_pyproject_the_whole_table_is_named() -> None:
    said = '[project]\nname = "x"\n\n[tool.hostel.server]\nproceses = 1\n'
    assert problems(said, TOOL, "pyproject.toml") == [
        'pyproject.toml:5  [tool.hostel.server] proceses: unknown key; did you mean "processes"?'
    ]


def test_other_tables_of_pyproject_are_left_alone() -> None:
    said = '[tool.other]\nx = 1\n[tool.hostel]\nname = "mine"\n'
    assert parse(said, origin="pyproject.toml", table=TOOL, given=GIVEN).name == "mine"


@pytest.mark.parametrize("said", ["tool = 3", "[tool]\nhostel = 3"])
def test_a_tool_table_that_is_none_is_refused(said: str) -> None:
    assert "must be a table" in problems(said, TOOL)[0]


@pytest.mark.parametrize(
    ("said", "at"),
    [("a = 1\nb = = 2", "hostel.toml:2"), ("a = [1,", "hostel.toml"), ("a = 1\na = 2", "hostel.")],
)
def test_a_syntax_error_is_reported_with_its_line(said: str, at: str) -> None:
    (line,) = problems(said)
    assert line.startswith(at)
    assert "not TOML" in line


@pytest.mark.parametrize("said", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "a" + ".a" * 50_000])
def test_absurd_files_are_refused_like_others(said: str) -> None:
    with pytest.raises(UsageError):
        parse(said, origin="hostel.toml", given=GIVEN)


def test_no_message_holds_the_value_of_a_variable() -> None:
    with pytest.raises(UsageError) as caught:
        parse('env = { A = ["s3cret"], B = "s3cret\\u0000" }', origin="hostel.toml", given=GIVEN)
    assert "s3cret" not in f"{caught.value} {caught.value.detail}"


# -- what hypothesis can think of -----------------------------------------------------------------

toml_values = st.recursive(
    text | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "name",
        "app",
        "domains",
        "python",
        "path",
        "keep",
        "server",
        "static",
        "env",
        "database",
        "tls",
        "health",
        "hooks",
        "workers",
        "cron",
        "command",
        "schedule",
        "timezone",
        "processes",
        "max_body",
        "listen",
        "mode",
        "build",
    ]
)


def toml(value: object) -> str:
    """TOML for a value; JSON's strings are TOML's but for DEL."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def document(said: dict[str, Any]) -> str:
    return "".join(f"{toml(name)} = {toml(value)}\n" for name, value in said.items())


@given(text)
def test_arbitrary_text_is_a_site_or_a_usage_error(said: str) -> None:
    error = refusal(said)
    assert error is None or error.detail


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys | text, toml_values | st.dictionaries(keys, toml_values), max_size=5))
def test_arbitrary_toml_is_a_site_or_a_usage_error_of_plain_lines(said: dict[str, Any]) -> None:
    error = refusal(document(said))
    for line in error.detail.split("\n") if error else ():
        assert line.startswith("hostel.toml")
        assert line.isprintable()
        assert "not TOML" not in line


@given(
    st.dictionaries(
        text.filter(lambda name: bool(name) and not set(name) & set("=\0")),
        text.filter(lambda value: "\0" not in value),
        max_size=5,
    )
)
def test_any_variable_that_toml_can_hold_comes_back_unchanged(env: dict[str, str]) -> None:
    assert parse(document({"env": env}), origin="hostel.toml", given=GIVEN).env == env


# -- lines ----------------------------------------------------------------------------------------


def test_keys_are_found_wherever_toml_lets_them_be() -> None:
    lines = key_lines(
        'a = 1\nb = """\nc = 1\n"""\n[t]  # x\n\'q k\'=[\n  1,\n]\nd.e = {f = 1}\n[t . u]\ng = 1\n'
    )
    assert lines == {
        ("a",): 1,
        ("b",): 2,
        ("t",): 5,
        ("t", "q k"): 6,
        ("t", "d"): 9,
        ("t", "d", "e"): 9,
        ("t", "d", "e", "f"): 9,
        ("t", "u"): 10,
        ("t", "u", "g"): 11,
    }


@given(text)
def test_looking_for_lines_never_fails(said: str) -> None:
    assert all(line > 0 for line in key_lines(said).values())


# -- files ----------------------------------------------------------------------------------------


def project(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_toml", ".toml").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_a_site_takes_its_name_and_its_path_from_the_project(tmp_path: Path) -> None:
    root = project(tmp_path / "Guest Book", hostel_toml='app = "a:b"', src__x_py="")
    site, notes = load_site(resolve(str(root)))
    assert (site.name, site.path, notes) == ("guest-book", ("src", "."), ())


def test_what_the_file_says_wins_over_what_could_be_guessed(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        hostel_toml='name = "x"\napp = "a:b"\npath = ["lib"]',
        src__y_py="",
        app_py="app=1",
    )
    site, _notes = load_site(resolve(str(root)))
    assert (site.name, site.app, site.path) == ("x", "a:b", ("lib",))


def test_without_a_site_file_the_app_is_found_and_said(tmp_path: Path) -> None:
    root = project(tmp_path, app_py="from flask import Flask\nserver = Flask(__name__)\n")
    site, notes = load_site(resolve(str(root)))
    assert site.app == "app:server"
    assert "Flask" in notes[0]
    assert "hostel.toml" in notes[0]


def test_the_app_is_found_where_a_site_file_says_all_but_that(tmp_path: Path) -> None:
    root = project(tmp_path, hostel_toml="[env]\nA = 'b'", app_py="def app(e, s): ...")
    site, notes = load_site(resolve(str(root)))
    assert (site.app, site.env) == ("app:app", {"A": "b"})
    assert len(notes) == 1


def test_problems_of_the_file_come_before_a_guess(tmp_path: Path) -> None:
    root = project(tmp_path, hostel_toml="proceses = 1")
    with pytest.raises(UsageError, match="1 problem"):
        load_site(resolve(str(root)))


def test_an_app_on_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    root = project(tmp_path, hostel_toml='app = "a:b"\n[env]\nA = "b"', x_py="app = make()")
    site, notes = load_site(resolve(str(root / "x.py")))
    assert (site.app, site.env) == ("x.py:app", {"A": "b"})
    assert len(notes) == 1


def test_an_app_on_the_command_line_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_site(Target(tmp_path, app="a:b c"))
    assert caught.value.detail.startswith("the command line  app: ")


def test_a_missing_file_of_the_app_is_said(tmp_path: Path) -> None:
    root = project(tmp_path, hostel_toml='app = "gone.py"')
    with pytest.raises(UsageError, match=r"gone\.py does not exist"):
        load_site(resolve(str(root)))


def test_the_static_files_of_django_need_no_site_file(tmp_path: Path) -> None:
    root = django(tmp_path)
    site, notes = load_site(resolve(str(root)))
    assert site.app == "shop.wsgi:application"
    assert site.static == {"/static": "collected"}
    assert site.hooks.build == ("python", "manage.py", "collectstatic", "--noinput")
    assert "/static" in notes[1]


def test_a_site_file_that_speaks_of_static_files_or_hooks_is_left_alone(tmp_path: Path) -> None:
    root = project(django(tmp_path), hostel_toml="[hooks]\nrelease = 'python manage.py migrate'")
    site, notes = load_site(resolve(str(root)))
    assert (site.static, site.hooks.build, len(notes)) == ({}, None, 1)


def django(root: Path) -> Path:
    return project(
        root,
        manage_py='import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n',
        shop__settings_py=(
            "from pathlib import Path\n"
            "BASE_DIR = Path(__file__).resolve().parent.parent\n"
            'WSGI_APPLICATION = "shop.wsgi.application"\n'
            'INSTALLED_APPS = ["django.contrib.staticfiles"]\n'
            'STATIC_URL = "static/"\n'
            'STATIC_ROOT = BASE_DIR / "collected"\n'
        ),
    )


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "hostel.toml").write_bytes(b'name = "x"\n# caf\xe9\n')
    with pytest.raises(UsageError, match="line 2 is not UTF-8"):
        load_site(resolve(str(tmp_path)))


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "hostel.toml").write_bytes(b'\xef\xbb\xbfapp = "a:b"\n')
    assert load_site(resolve(str(tmp_path)))[0].app == "a:b"


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hostel.toml").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        load_site(resolve(str(tmp_path)))


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_site(Target(tmp_path, tmp_path / "hostel.toml"))
