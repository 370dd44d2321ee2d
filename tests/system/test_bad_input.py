"""Mistakes people make: each a clear error, the right exit code, nothing left half-made."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from typing import Any

import pytest

from .conftest import Hosted, eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""

MISTAKES: dict[str, tuple[dict[str, str], int, tuple[str, ...]]] = {
    "a misspelt key": (
        {"hostel.toml": 'app = "app.py"\n[server]\nproceses = 2\n', "app.py": HELLO},
        2,
        ("hostel.toml:3", "processes"),
    ),
    "a wrong type": (
        {"hostel.toml": 'app = "app.py"\n[server]\nthreads = "many"\n', "app.py": HELLO},
        2,
        ("hostel.toml:3", "threads"),
    ),
    "broken TOML": ({"hostel.toml": "app = \n", "app.py": HELLO}, 2, ("hostel.toml",)),
    "no app anywhere": ({"notes.txt": "nothing"}, 2, ("app",)),
    "a missing app file": ({"hostel.toml": 'app = "nowhere.py"\n'}, 2, ("nowhere.py",)),
    "a missing module": ({"hostel.toml": 'app = "nowhere:app"\n'}, 4, ("nowhere",)),
    "a missing callable": (
        {"hostel.toml": 'app = "app:aplication"\n', "app.py": HELLO},
        4,
        ("Did you mean", "application"),
    ),
    "an import error": (
        {"app.py": "import json\nimport nothing_of_that_name\n" + HELLO},
        4,
        ("nothing_of_that_name", "app.py", "requirements.txt"),
    ),
    "an exception while importing": (
        {"app.py": "def f():\n    return 1 / 0\nf()\n" + HELLO},
        4,
        ("ZeroDivisionError", 'app.py", line 2'),
    ),
    "a syntax error": (
        {"app.py": "def application(environ, start_response:\n    pass\n"},
        4,
        ("SyntaxError", "app.py"),
    ),
    "Python 2": ({"app.py": 'print "hello"\n' + HELLO}, 4, ("Python 2",)),
    "a factory that is not called": (
        {"hostel.toml": 'app = "app:create_app"\n', "app.py": "def create_app():\n    pass\n"},
        4,
        ("create_app()",),
    ),
    "an ASGI app": (
        {
            "hostel.toml": 'app = "app:app"\n',
            "app.py": "async def app(scope, receive, send):\n    pass\n",
        },
        2,
        ("ASGI",),
    ),
    "a requirement that does not exist": (
        {"app.py": HELLO, "requirements.txt": "no-such-package-for-hostel-tests==9.9\n"},
        1,
        ("no-such-package-for-hostel-tests",),
    ),
    "an app that answers with errors": (
        {"app.py": "def application(environ, start_response):\n    raise RuntimeError('boom 7')\n"},
        4,
        ("boom 7", "500"),
    ),
    "a failing release hook": (
        {
            "hostel.toml": 'app = "app.py"\n[hooks]\nrelease = ["python", "-c", '
            "\"import sys; print('no table'); sys.exit(3)\"]\n",
            "app.py": HELLO,
        },
        4,
        ("release hook", "no table", "exit code 3"),
    ),
    "a failing build hook": (
        {
            "hostel.toml": 'app = "app.py"\n[hooks]\n'
            'build = ["python", "-c", "raise OSError(5)"]\n',
            "app.py": HELLO,
        },
        1,
        ("build hook", "OSError"),
    ),
    "a Python that is not here": (
        {"hostel.toml": 'app = "app.py"\npython = "3.11.99"\n', "app.py": HELLO},
        1,
        ("3.11.99",),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_leaves_nothing_behind(project: Any, mistake: str) -> None:
    files, code, words = MISTAKES[mistake]
    site: Hosted = project(None, "mistake", **files)
    done = site.up()
    assert done.returncode == code, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert "bug in Hostel" not in done.stderr
    assert not site.strays()
    assert list((site.state / "instance").glob("*")) == []
    assert site.status()["state"] == "down"
    site.write("app.py", HELLO)
    site.write("hostel.toml", 'app = "app.py"\n')
    site.write("requirements.txt", "")
    mended = site.up()
    assert mended.returncode == 0, mended.stderr
    assert site.get("/").text == "hello"


def test_a_taken_port_is_named_with_who_has_it(project: Any) -> None:
    site: Hosted = project(None, "taken", **{"app.py": HELLO})
    with socket.create_server(("127.0.0.1", site.https)):
        done = site.up()
    assert done.returncode == 1
    assert str(site.https) in done.stderr
    if site.person.uid == 0:
        assert str(os.getpid()) in done.stderr
    assert not site.strays()


def test_a_second_up_of_the_same_site_says_where_the_first_is(project: Any) -> None:
    site: Hosted = project(None, "twice", **{"app.py": HELLO})
    assert site.up().returncode == 0
    again = site.up()
    assert again.returncode == 5
    assert f"https://localhost:{site.https}" in again.stderr
    assert "hostel down" in again.stderr
    assert site.get("/").text == "hello"


def test_a_stale_record_of_another_process_is_not_believed(project: Any) -> None:
    site: Hosted = project(None, "stale", **{"app.py": HELLO})
    assert site.up().returncode == 0
    record = site.state / "instance.json"
    kept = record.read_text()
    assert site.down().returncode == 0
    record.write_text(kept.replace(f'"pid": {site_pid(kept)}', f'"pid": {os.getpid()}'))
    assert site.status()["state"] == "down"
    assert site.up().returncode == 0
    assert site.get("/").text == "hello"


def site_pid(record: str) -> int:
    import json

    return int(json.loads(record)["pid"])


def test_after_the_parent_of_httpd_was_killed_the_next_up_clears_its_children(project: Any) -> None:
    site: Hosted = project(None, "orphans", **{"app.py": HELLO})
    assert site.up().returncode == 0
    os.kill(site.status()["pid"], signal.SIGKILL)
    assert site.status()["state"] == "down"
    done = site.up()
    if done.returncode == 1:  # its children may hold the ports for a moment
        assert site.down().returncode == 0
        done = site.up()
    assert done.returncode == 0, done.stderr
    assert site.get("/").text == "hello"


@pytest.mark.parametrize("after", [0.15, 0.3, 0.45, 0.6, 0.8, 1.1, 1.5, 2.2, 3.0])
def test_an_up_killed_at_any_moment_is_mended_by_the_next(project: Any, after: float) -> None:
    site: Hosted = project("guestbook", "guestbook")
    process = site.attached("--detach")
    time.sleep(after)
    process.kill()
    process.wait()
    done = site.up()
    if done.returncode == 5:  # it had come up before it was killed
        assert site.down().returncode == 0
        done = site.up()
    assert done.returncode == 0, done.stderr
    assert site.get("/").status == 200
    assert site.down().returncode == 0
    assert not site.strays()


def test_postgresql_and_httpd_killed_together_come_back_with_their_data(project: Any) -> None:
    site: Hosted = project("guestbook", "guestbook")
    assert site.up().returncode == 0
    body = b"name=Ada&message=still+here"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"https://localhost:{site.https}",
    }
    assert site.get("/", "POST", body, headers).status in (302, 303)
    for process in site.strays():
        process.kill()
    done = eventually(lambda: (lambda d: d if d.returncode == 0 else None)(site.up()))
    assert done.returncode == 0
    assert "still here" in site.get("/").text


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "quote'double\"",
        "dollar${HOME}$1",
        "percent%41%{x}",
        "ünï-çødé-日本",
        "back\\slash",
        "glob[a]*?",
        "-dash",
        "semi;colon&amp",
        "x" * 200,
    ],
)
def test_a_project_may_lie_in_a_folder_of_any_name(project: Any, name: str) -> None:
    site: Hosted = project("guestbook", name)
    site.state = site.root / ".hostel" if site.person.uid else site.state.parent / name / ".hostel"
    if site.person.uid == 0:
        site.state.parent.mkdir()
    site.write("hostel.toml", (site.root / "hostel.toml").read_text())
    done = site.up()
    assert done.returncode == 0, done.stderr
    assert site.get("/").status == 200
    assert site.get("/static/style.css").status == 200


def test_a_line_break_in_the_folders_name_is_refused_in_words(project: Any) -> None:
    site: Hosted = project(None, "line\nbreak", **{"app.py": HELLO})
    done = site.up()
    assert done.returncode == 2
    assert "control character" in done.stderr
    assert not (site.root / ".hostel").exists()


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_a_folder_that_may_not_be_written_is_named(project: Any) -> None:
    site: Hosted = project(None, "locked", **{"app.py": HELLO})
    site.root.chmod(0o555)
    try:
        done = site.up()
    finally:
        site.root.chmod(0o755)
    assert done.returncode == 1
    assert "--dir" in done.stderr


@pytest.mark.parametrize("person", ["root"], indirect=True)
def test_a_full_disk_is_named_and_undone(project: Any) -> None:
    site: Hosted = project("guestbook", "guestbook")
    disk = site.state.parent / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "tmpfs", disk], check=True)
    kept = site.state
    try:
        site.state = disk / "state"
        done = site.up()
        assert done.returncode in (1, 4), done.stderr
        assert "space" in done.stderr.lower()
        assert not site.strays()
    finally:
        site.end()
        site.state = kept
        subprocess.run(["umount", "-l", disk], check=False)


@pytest.mark.parametrize("person", ["root"], indirect=True)
def test_a_read_only_file_system_is_named(project: Any) -> None:
    site: Hosted = project(None, "readonly", **{"app.py": HELLO})
    disk = site.state.parent / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,ro,mode=755", "tmpfs", disk], check=True)
    kept = site.state
    try:
        site.state = disk / "state"
        done = site.up()
        assert done.returncode == 1, done.stderr
        assert "read-only" in done.stderr.lower()
    finally:
        site.state = kept
        subprocess.run(["umount", "-l", disk], check=False)
