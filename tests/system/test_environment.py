"""What is written in hostel.toml and .env is what the app has, and nobody else learns of it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import secrets
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .conftest import Hosted, eventually, place

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

T = TypeVar("T")

APP = r"""
import json, locale, os, subprocess, sys

AT_IMPORT = dict(os.environb)

def application(environ, start_response):
    if environ["PATH_INFO"] == "/print":
        print("printed: é ß 日本 😀")
        print("warned: é ß 日本 😀", file=sys.stderr)
    with open(os.path.join(os.environ["DATA_DIR"], "text"), "w") as file:
        file.write("é日本😀")
        encoding = file.encoding
    with open(file.name, "rb") as file:
        written = file.read().decode("latin-1")
    child = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    said = {
        "environ": {name.decode("latin-1"): value.decode("latin-1")
                    for name, value in os.environb.items()},
        "at import": AT_IMPORT == dict(os.environb),
        "wsgi": [name for name in environ if name in os.environ and name.startswith("V_")],
        "names": sorted(os.environ) == sorted(os.fsdecode(name) for name in os.environb),
        "file system": sys.getfilesystemencoding(),
        "preferred": locale.getpreferredencoding(False),
        "open": encoding,
        "written": written,
    }
    if environ["PATH_INFO"] == "/child":
        child = [os.path.join(os.environ["VIRTUAL_ENV"], "bin", "python"), *child[1:]]
        said["child"] = subprocess.run(child, capture_output=True, text=True).stdout.strip()
    text = json.dumps(said).encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
"""

OWN = {
    *("HOME", "USER", "LOGNAME", "PATH", "LANG", "VIRTUAL_ENV", "TZ", "TMPDIR", "DATA_DIR"),
    *("HOSTEL_SITE", "HOSTEL_URL", "HOSTEL_DOMAINS"),
}

# -- what is drawn --------------------------------------------------------------------------------

NASTY = (
    *("'", '"', "''", '"""', "\\", "\\\\", "\\n", "\\x41", "$", "${HOME}", "$HOME", "%{X}", "%"),
    *("#", " # not a comment", "=", "a=b", ";", "|", "`id`", "$(id)", "<", "</VirtualHost>", "!"),
    *("\n", "\r", "\r\n", "\t", "\v", "\f", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ufeff", "\x01"),
    *("é", "日本", "😀", "\u202e", "\U0010ffff", "%s", "%(x)s", "{x}", "{{x}}", "\\u0041", "~"),
    '"\n</VirtualHost>\nLoadModule evil_module /tmp/evil.so\n',
    "'\nSetEnv X y\n<If true>",
    "\\\n",
)
WHOLE = (
    *("", " ", "  two  ", "\n", '"quoted"', "'quoted'", "export A=b", "[env]", "null", "0"),
    "".join(map(chr, [*range(1, 32), *range(127, 160)])),
)
LONG = ("x" * 50_000, "\\" * 25_000 + '"' * 25_000, "日" * 17_000, "\n" * 50_000)

characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
values = st.one_of(
    st.sampled_from(WHOLE),
    st.text(characters, max_size=60),
    st.lists(st.one_of(st.sampled_from(NASTY), st.text(characters, max_size=5))).map("".join),
)
plain_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True)
names = st.one_of(
    plain_names,
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0="), min_size=1),
    st.sampled_from([one.replace("=", "-") for one in NASTY if one.strip("=")]),
)


def drawn(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """As many examples as hypothesis would try one after the other, for one site to hold all."""
    found: list[T] = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(one: T) -> None:
        found.append(one)

    collect()
    return found


def variables(mark: str, count: int, quoted_by: str = "") -> dict[str, str]:
    """Names and values; most values hold a mark that can be looked for everywhere else.

    A name is "V_<number>" in one third of all, since two that are drawn may be the same.
    """
    all_of_them: dict[str, str] = {}
    for number, (name, value, place_of) in enumerate(
        drawn(st.tuples(names, values, st.integers(0, 3)), count)
    ):
        usable = name not in OWN and not (quoted_by and quoted_by in name)
        known = name if usable and number % 3 else f"V_{number}"
        middle = len(value) // 2
        all_of_them[known] = value if place_of == 0 else value[:middle] + mark + value[middle:]
    all_of_them |= {f"V_WHOLE_{number}": value for number, value in enumerate((*WHOLE, *LONG))}
    return all_of_them


def toml(table: dict[str, str]) -> str:
    """`[env]` of a site file, read back by the standard library to be sure of it."""

    def quoted(text: str) -> str:
        inside = "".join(
            f"\\{char}" if char in '"\\' else f"\\u{ord(char):04x}" if _control(char) else char
            for char in text
        )
        return f'"{inside}"'

    text = "[env]\n" + "".join(f"{quoted(name)} = {quoted(table[name])}\n" for name in table)
    assert tomllib.loads(text) == {"env": table}
    return text


def _control(char: str) -> bool:
    return ord(char) < 32 or ord(char) == 127


def dotenv(table: dict[str, str]) -> str:
    """A .env in double quotes, read back by python-dotenv to be sure of it."""

    def line(name: str, value: str) -> str:
        key = name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"'{name}'"
        inside = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key}="{inside}"\n'

    text = "# of this machine only\n" + "".join(line(name, table[name]) for name in table)
    read = dotenv_values(stream=io.StringIO(text, newline=""), interpolate=False)
    assert read == table
    return text


# -- the sites ------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["user", "root"])
def site(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """One project for all these tests, of either person; each leaves it down."""
    hosted = place(request.getfixturevalue(request.param), None, "ümgebung-日本")
    try:
        hosted.write("app.py", APP)
        yield hosted
    finally:
        hosted.end()
        shutil.rmtree(hosted.root.parent, ignore_errors=True)
        if hosted.person.uid == 0:
            shutil.rmtree(hosted.state.parent, ignore_errors=True)
    assert not hosted.strays()


@contextlib.contextmanager
def written(site: Hosted, site_file: str, env_file: str = "") -> Iterator[None]:
    """hostel.toml and .env of this content, byte for byte; the site is down again afterwards."""
    put(site, site_file, env_file)
    try:
        yield
    finally:
        site.down()


def put(site: Hosted, site_file: str, env_file: str = "") -> None:
    for name, text in (("hostel.toml", 'app = "app.py"\n' + site_file), (".env", env_file)):
        path = site.root / name
        path.write_bytes(text.encode())
        path.chmod(0o600)
    site.person.owns(site.root)


def told(site: Hosted, path: str = "/") -> dict[str, Any]:
    answer = site.get(path)
    assert answer.status == 200, answer
    return dict(json.loads(answer.body))


def environ(said: dict[str, Any]) -> dict[str, str]:
    return {
        name.encode("latin-1").decode(): value.encode("latin-1").decode()
        for name, value in said["environ"].items()
    }


@contextlib.contextmanager
def watched_command_lines(mark: str) -> Iterator[list[str]]:
    """The command lines of this machine that hold the mark, looked at all the time."""
    seen: list[str] = []
    ends = threading.Event()

    def watch() -> None:
        while not ends.is_set():
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    words = " ".join(process.cmdline())
                    if mark in words:
                        seen.append(words)
            ends.wait(0.05)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ends.set()
        thread.join()


def files_of(site: Hosted) -> Iterator[Path]:
    """All that a site of this person could have written, the two files that people wrote apart."""
    caches = [site.person.home, Path("/var/cache/hostel"), Path("/var/lib/hostel")]
    for folder in (site.state, site.root.parent, *caches):
        for path in folder.rglob("*"):
            if path.name in ("hostel.toml", ".env") and path.parent == site.root:
                continue
            if "uv-cache" not in path.parts and path.is_file() and not path.is_symlink():
                yield path


# -- exactly what was written ---------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2])
def test_hundreds_of_hostile_variables_arrive_exactly_and_nowhere_else(
    site: Hosted, batch: int
) -> None:
    mark = f"s3cr3t{secrets.token_hex(8)}"
    committed, private = variables(mark, 400), variables(mark, 400, quoted_by="'")
    both = [name for name in committed if name in private]
    wanted = {**committed, **private}
    with watched_command_lines(mark) as seen, written(site, toml(committed), dotenv(private)):
        done = site.up()
        assert done.returncode == 0, done.stderr
        said = told(site)
        got = environ(said)
        wrong = {name: got.get(name) for name in wanted if got.get(name) != wanted[name]}
        assert wrong == {}, {name: wanted[name] for name in wrong}
        assert set(got) - set(wanted) <= OWN
        assert len(wanted) > 200
        assert len(both) >= len(WHOLE) + len(LONG)
        assert said["at import"]
        assert said["names"]
        assert said["wsgi"] == []

        status = site.hostel("status", site.root, "--dir", site.state, "--json")
        for output in (done.stdout, done.stderr, status.stdout, status.stderr):
            assert mark not in output
        told(site, "/print")
        assert seen == []
        holders = [path for path in files_of(site) if mark.encode() in path.read_bytes()]
        assert {path.name for path in holders} == {"boot.json"}
        for path in holders:
            assert path.stat().st_mode & 0o077 == 0, path
    assert seen == []
    left = [path for path in files_of(site) if mark.encode() in path.read_bytes()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in left), left


def test_no_value_becomes_a_directive_and_no_directive_a_value(site: Hosted) -> None:
    """The configuration of httpd is the same, whatever the values are."""

    def configuration(value: str) -> list[str]:
        with written(site, toml({"A": value}), dotenv({"B": value})):
            done = site.up()
            assert done.returncode == 0, done.stderr
            assert environ(told(site))["A"] == environ(told(site))["B"] == value
            text = (site.state / "instance" / "httpd.conf").read_text()
        return [re.sub(r"[0-9a-f]{16}", "digest", line) for line in text.splitlines()]

    assert configuration("plain") == configuration("${HOME}\n</VirtualHost>\nLoadModule x y\n")


def test_a_value_that_no_process_can_be_given_is_refused_in_words(site: Hosted) -> None:
    """The kernel takes 128 KiB for one variable of a new process."""
    large = "x" * 140_000
    with written(site, "", dotenv({"LARGE": large})):
        done = site.up()
        assert done.returncode in (1, 4), done.stderr
        assert "shorten the values" in done.stderr
        assert "xxxx" not in done.stdout + done.stderr
        assert not site.strays()


def test_variables_that_drive_programs_reach_the_app_alone(site: Hosted) -> None:
    """httpd, uv and Hostel itself are not led astray by what is meant for the app."""
    wanted = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_INDEX_URL": "https://index.invalid/simple",
        "UV_INDEX_URL": "https://index.invalid/simple",
        "HOSTEL_DOLLAR": "not a dollar",
        "OPENSSL_CONF": "/nonexistent",
        "TMPDIR": "/nonexistent",
        "LANG": "de_DE.ISO-8859-1",
        "HOME": "/nonexistent",
        "PATH": "/nonexistent",
        "LC_ALL": "C",
    }
    with written(site, toml(wanted)):
        done = site.up()
        assert done.returncode == 0, done.stderr
        got = environ(told(site))
    assert {name: got[name] for name in wanted} == wanted


def test_the_journal_of_a_run_under_way_holds_no_value(site: Hosted) -> None:
    """A hook waits, so that the run can be looked at between its steps."""
    mark = f"s3cr3t{secrets.token_hex(8)}"
    wait = (
        "import os, pathlib, time\n"
        "data = pathlib.Path(os.environ['DATA_DIR'])\n"
        "(data / 'waits').touch()\n"
        "while not (data / 'go').exists(): time.sleep(0.05)\n"
    )
    hook = f'[hooks]\nrelease = ["python", "-c", {json.dumps(wait)}]\n'
    data = site.state / "data"
    with written(site, hook + toml({"A": mark}), dotenv({"B": f"{mark}\n${{HOME}}"})):
        process = site.attached("--detach")
        try:
            eventually(lambda: (data / "waits").exists() or process.poll() is not None)
            journal = site.state / "journal"
            assert journal.exists(), process.communicate()
            found = [path for path in files_of(site) if mark.encode() in path.read_bytes()]
            assert {path.name for path in found} == {"boot.json"}
            assert all(path.stat().st_mode & 0o077 == 0 for path in found), found
            assert b"boot.json" in (
                b"".join(
                    path.read_bytes() for path in [journal, *journal.rglob("*")] if path.is_file()
                )
            )
        finally:
            (data / "go").touch()
            output = process.communicate(timeout=120)[0]
        assert process.returncode == 0, output
        assert mark not in output
        assert environ(told(site))["A"] == mark
    for name in ("waits", "go"):
        (data / name).unlink(missing_ok=True)


# -- changes --------------------------------------------------------------------------------------


def test_the_env_file_wins_and_a_changed_value_is_live_after_the_next_up(site: Hosted) -> None:
    for committed, private, expected in (
        ("one", None, "one"),
        ("one", "two", "two"),
        ("one", "", ""),
        ("three", None, "three"),
    ):
        env_file = "" if private is None else dotenv({"MOOD": private})
        with written(site, toml({"MOOD": committed}), env_file):
            assert site.up().returncode == 0
            assert environ(told(site))["MOOD"] == expected
    with written(site, "", ""):
        assert site.up().returncode == 0
        assert "MOOD" not in environ(told(site))


# -- what cannot be a variable --------------------------------------------------------------------

BAD_SITE_FILES = {
    "a NUL in a value": ('[env]\nTOKEN = "SECRET\\u0000SECRET"\n', "TOKEN"),
    "a NUL in a name": ('[env]\n"TO\\u0000KEN" = "SECRET"\n', "NUL"),
    "an empty name": ('[env]\n"" = "SECRET"\n', "empty"),
    "an equals sign in a name": ('[env]\n"TOKEN=X" = "SECRET"\n', '"="'),
    "a number": ("[env]\nTOKEN = 5EC2E7\n".replace("5EC2E7", "987654321"), "TOKEN"),
    "a list": ('[env]\nTOKEN = ["SECRET"]\n', "TOKEN"),
    "a table": ('[env.TOKEN]\nX = "SECRET"\n', "TOKEN"),
    "a dotted name": ('[env]\nTOKEN.X = "SECRET"\n', "TOKEN"),
    "an open quote": ('[env]\nTOKEN = "SECRET\n', "hostel.toml:3"),
    "no quotes": ("[env]\nTOKEN = SECRET\n", "hostel.toml:3"),
    "a name twice": ('[env]\nTOKEN = "SECRET"\nTOKEN = "SECRET"\n', "hostel.toml:4"),
    "a text for all": ('env = "SECRET"\n', "env"),
    "a table's name misspelt": ('[evn]\nTOKEN = "SECRET"\n', "evn"),
    "half of a character": ('[env]\nTOKEN = "SECRET\\ud800"\n', "hostel.toml:3"),
}

BAD_ENV_FILES = {
    "a NUL in a value": (b'A=b\nTOKEN="SECRET\0"\n', "line 2"),
    "a NUL in a name": (b"TO\0KEN=SECRET\n", "line 1"),
    "an open quote": (b'A=b\n\nTOKEN="SECRET\n', "line 3"),
    "no equals sign": (b"A=b\nTOKEN SECRET\n", "line 2"),
    "an equals sign in a name": (b"'A=B'=SECRET\n", "line 1"),
    "words after a quoted value": (b'TOKEN="SECRET" SECRET\n', "line 1"),
    "bytes that are no UTF-8": (b"TOKEN=SECRET\xff\n", "UTF-8"),
    "UTF-16": ("TOKEN=SECRET\n".encode("utf-16"), "UTF-8"),
}


def refused(site: Hosted, word: str) -> None:
    done = site.up()
    assert done.returncode == 2, done.stdout + done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    for secret in ("SECRET", "987654321"):
        assert secret not in done.stdout + done.stderr
    assert not site.strays()


@pytest.mark.parametrize("bad", BAD_SITE_FILES)
def test_a_bad_variable_in_the_site_file_is_refused_without_its_value(
    site: Hosted, bad: str
) -> None:
    text, word = BAD_SITE_FILES[bad]
    with written(site, text):
        refused(site, word)


@pytest.mark.parametrize("bad", BAD_ENV_FILES)
def test_a_bad_line_in_the_env_file_is_refused_without_its_content(site: Hosted, bad: str) -> None:
    data, word = BAD_ENV_FILES[bad]
    with written(site, ""):
        (site.root / ".env").write_bytes(data)
        refused(site, word)


def test_an_env_file_that_is_a_folder_or_unreadable_is_refused(site: Hosted) -> None:
    with written(site, ""):
        path = site.root / ".env"
        path.unlink()
        path.mkdir()
        try:
            refused(site, ".env")
        finally:
            path.rmdir()
        if site.person.uid:
            path.write_text("A=SECRET\n")
            site.person.owns(site.root)
            path.chmod(0)
            refused(site, ".env")


# -- languages ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locales() -> Iterator[Path | None]:
    """A folder with a real German locale in ISO-8859-1, where the machine can make one."""
    folder = Path(
        subprocess.run(
            ["mktemp", "-d", "/tmp/hostel-locales-XXXXXX"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    folder.chmod(0o755)
    try:
        with contextlib.suppress(OSError):
            subprocess.run(
                ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", folder / "de_DE.ISO-8859-1"],
                capture_output=True,
                check=False,
            )
        made = (folder / "de_DE.ISO-8859-1" / "LC_CTYPE").exists()
        yield folder if made else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


CALLERS = {
    "LANG=C": ["LANG=C"],
    "LANG=POSIX": ["LANG=POSIX"],
    "no LANG": ["--unset=LANG"],
    "LANG=de_DE.ISO-8859-1": ["LANG=de_DE.ISO-8859-1"],
    "LC_ALL=de_DE.ISO-8859-1": ["LC_ALL=de_DE.ISO-8859-1"],
    "an unknown locale": ["LANG=xx_XX.WRONG", "LC_ALL=xx_XX.WRONG"],
    "Python told otherwise": ["PYTHONUTF8=0", "PYTHONIOENCODING=ascii", "PYTHONCOERCECLOCALE=0"],
}


@pytest.mark.parametrize("caller", CALLERS)
def test_the_app_speaks_utf_8_whatever_its_caller_does(
    site: Hosted, locales: Path | None, caller: str
) -> None:
    wanted = {"WORDS": "é ß € 日本 😀", "Ü": "ü"}
    told_to = [*CALLERS[caller], *([f"LOCPATH={locales}"] if locales else [])]
    argv = ["env", *told_to, site.person.hostel, "up", site.root, "--dir", site.state]
    argv += ["--http", site.http, "--https", site.https]
    with written(site, toml(wanted), dotenv({"ENV_WORDS": "é ß € 日本 😀"})):
        process = site.person.start(*argv)
        site.processes.append(process)
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        eventually(lambda: process.poll() is not None or site.get("/").status == 200)
        assert process.poll() is None, "".join(lines)
        said = told(site, "/child")
        got = environ(said)
        assert {name: got[name] for name in (*wanted, "ENV_WORDS")} == {
            **wanted,
            "ENV_WORDS": wanted["WORDS"],
        }
        assert got["LANG"] == "C.UTF-8"
        assert "LC_ALL" not in got
        for what in ("file system", "preferred", "open", "child"):
            assert said[what].lower().replace("-", "") == "utf8", what
        assert said["written"].encode("latin-1").decode() == "é日本😀"
        told(site, "/print")
        log = site.state / "log" / "error.log"
        for word in ("printed", "warned"):
            text = f"{word}: é ß 日本 😀"
            escaped = "".join(
                char if char.isascii() else "".join(f"\\x{byte:02x}" for byte in char.encode())
                for char in text
            )
            eventually(lambda t=text, e=escaped: t in log.read_text() or e in log.read_text())
        process.terminate()
        process.wait(60)
        reader.join(10)
        assert process.returncode in (0, 130, 143), "".join(lines)
        assert "Traceback" not in "".join(lines), "".join(lines)
        if caller in ("LANG=C", "LANG=POSIX", "no LANG"):
            assert "printed: é ß 日本 😀" in "".join(lines)
