"""A bad release never serves: the one before goes on, and the app's own words say why."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import pytest

from ..machines import DebianMachine
from ..machines.host import eventually
from .asking import Asker
from .sites import HELLO, ask, plan_is_empty, put_site, status

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.parametrize("shared_server", ["applied"], indirect=True),
]

HOST = "hello.example.com"

TALKING = HELLO.replace(
    "    body =", '    print("one of the old release", file=environ["wsgi.errors"])\n    body ='
)
"""The good release: it logs with every request, into the log in which the reason is looked for."""

NEW = HELLO.replace('"hello"', '"new"')

IN_HTTPD = '"mod_wsgi" in __import__("sys").modules'
"""Not so while Hostel tries to import the app before it starts an httpd."""


ENDING = f"""\
import os
import sys
import threading
import time


def end():
    time.sleep(1)
    print("I have seen enough", file=sys.stderr, flush=True)
    os._exit(3)


if {IN_HTTPD}:
    threading.Thread(target=end, daemon=True).start()

"""

CRASHING = f"""\
import ctypes
import threading
import time


def crash():
    time.sleep(1)
    ctypes.string_at(0)


if {IN_HTTPD}:
    threading.Thread(target=crash, daemon=True).start()

"""


def hook(what: str, code: str) -> str:
    return f"[hooks]\n{what} = ['python3', '-c', '''{textwrap.dedent(code)}''']\n"


@dataclass(frozen=True)
class Bad:
    """A release that must not serve, and what has to be said about it."""

    app: str
    more: str
    said: tuple[str, ...]


BAD = {
    "it cannot be imported": Bad(
        "import os\n\nimport nosuchmodule\n" + NEW,
        "",
        ('File "app.py", line 3', "No module named 'nosuchmodule'", "requirements.txt"),
    ),
    "it cannot be imported by httpd alone": Bad(
        f"if {IN_HTTPD}:\n    raise RuntimeError('not in here')\n" + NEW,
        "",
        ('File "app.py", line 2', "RuntimeError: not in here"),
    ),
    "every request fails": Bad(
        "def application(environ, start_response):\n    raise RuntimeError('no table users')\n",
        "",
        ('File "app.py", line 2', "RuntimeError: no table users", "500"),
    ),
    "its health path fails": Bad(
        """\
        def application(environ, start_response):
            well = environ["PATH_INFO"] != "/health"
            print("the cache is away", file=environ["wsgi.errors"])
            start_response("200 OK" if well else "503 Service Unavailable", [])
            return [b"new"]
        """,
        "[health]\npath = '/health'\n",
        ("/health", "503", "the cache is away"),
    ),
    "it ends a second after it was loaded": Bad(
        ENDING + NEW, "", ("a process of it ended", "I have seen enough")
    ),
    "it ends without a word a second after it was loaded": Bad(
        f"if {IN_HTTPD}:\n"
        "    import os, threading\n    threading.Timer(1, os._exit, [0]).start()\n" + NEW,
        "",
        ("a process of it ended", "It logged nothing", "os._exit"),
    ),
    "it crashes a second after it was loaded": Bad(
        CRASHING + NEW,
        "",
        ("a process of it ended", "Segmentation fault", 'File "app.py", line 8 in crash'),
    ),
    "it crashes with the first request": Bad(
        "def application(environ, start_response):\n    import ctypes\n    ctypes.string_at(0)\n",
        "",
        ("without an answer", "Segmentation fault", 'File "app.py", line 3 in application'),
    ),
    "it crashes while it is imported": Bad(
        "import ctypes\n\nctypes.string_at(0)\n",
        "",
        ("SIGSEGV", 'File "app.py", line 3 in <module>'),
    ),
    "it answers well only once": Bad(
        """\
        from pathlib import Path
        import os

        asked = Path(os.environ["DATA_DIR"]) / "asked"

        def application(environ, start_response):
            well = not asked.exists()
            asked.touch()
            start_response("200 OK" if well else "500 Oh", [])
            return [b"new"]
        """,
        "",
        ("it answered 500",),
    ),
    "it is imported too slowly": Bad(
        "import time\n\n\ndef warm_up():\n    time.sleep(600)\n\n\nwarm_up()\n" + NEW,
        "[health]\ntimeout = 4\n",
        ("within 4 s", 'File "app.py", line 5, in warm_up', "timeout in [health]"),
    ),
    "it never answers": Bad(
        "import time\n\n\ndef application(environ, start_response):\n    time.sleep(600)\n",
        "[health]\ntimeout = 4\n",
        ("no answer within 4 s", "logged nothing"),
    ),
    "it needs more memory than it may have": Bad(
        f"if {IN_HTTPD}:\n    much = b'1' * 600_000_000\n" + NEW,
        "[server]\nmemory = '200MB'\n",
        ("memory",),
    ),
    "its build hook fails": Bad(
        NEW,
        hook("build", 'print("bundling"); raise SystemExit("no webpack here")'),
        ("the build hook", "bundling", "no webpack here", "exit code 1"),
    ),
    "its release hook fails": Bad(
        NEW,
        hook("release", 'print("migrating"); raise SystemExit("relation users is missing")'),
        ("the release hook", "migrating", "relation users is missing", "exit code 1"),
    ),
    "its worker ends at once": Bad(
        NEW,
        "[workers.mail]\ncommand = ['python3', '-c', 'raise SystemExit(\"no queue\")']\n",
        ("mail", "no queue"),
    ),
}

SERVES_FOR_A_MOMENT = {"its worker ends at once"}
"""Workers take over after the switch; the app itself is well then."""


@pytest.fixture
def server(shared_server: DebianMachine) -> DebianMachine:
    """The machine with the good release on it, live and in its folder, and nothing else."""
    folder = put_site(shared_server, "hello", TALKING)
    if not plan_is_empty(shared_server, folder):
        shared_server.run(["hostel", "apply", folder], check=True, timeout=600)
    eventually(lambda: len(instances(shared_server)) == 1, "the former one has drained")
    return shared_server


def instances(server: DebianMachine) -> list[str]:
    argv = ["systemctl", "list-units", "--plain", "--no-legend", "hostel-instance@hello-*"]
    return server.run(argv, check=True).stdout.splitlines()


def remains(server: DebianMachine) -> str:
    """Every file that a release could leave behind, and the instances that run."""
    folders = ["/srv/hostel/hello", "/etc/systemd/system", "/etc/hostel", "/run/hostel"]
    folders += ["/var/lib/hostel/sites"]
    unimportant = "( -name asked -o -path */venvs/* -o -path /run/hostel/*/* ) -prune -o -print"
    files = server.run(["find", *folders, *unimportant.split()], check=True).stdout
    return "\n".join(sorted([*files.splitlines(), *instances(server)]))


@pytest.mark.parametrize("how", BAD)
def test_the_release_before_goes_on_when(how: str, server: DebianMachine) -> None:
    bad = BAD[how]
    before, left = status(server, "hello"), remains(server)
    with Asker(server, HOST) as asker:
        asker.asked_again()
        folder = put_site(server, "hello", textwrap.dedent(bad.app), bad.more)
        ran = server.run(["hostel", "apply", folder], timeout=900)
        asker.asked_again()
    assert ran.returncode == 4, ran.stderr
    assert not [text for text in bad.said if text not in ran.stderr], ran.stderr
    assert f"Generation {before['generation']} " in ran.stderr
    assert "one of the old release" not in ran.stderr, "these lines explain nothing"
    if how not in SERVES_FOR_A_MOMENT:
        assert set(asker.answers) == {"hello"}
    after = status(server, "hello")
    for fact in ("generation", "release", "state", "unit", "pid"):
        assert after[fact] == before[fact]
    assert remains(server) == left
    assert not server.failed()


def test_what_was_bad_can_be_mended_and_applied(server: DebianMachine) -> None:
    """Nothing that a failed run left is in the way of the next."""
    folder = put_site(server, "hello", "import nosuchmodule\n")
    assert server.run(["hostel", "apply", folder], timeout=600).returncode == 4
    put_site(server, "hello", NEW)
    server.run(["hostel", "apply", folder], check=True, timeout=600)
    assert ask(server, HOST).text == "new"


@pytest.mark.parametrize("how", ["it cannot be imported", "every request fails"])
def test_of_a_first_release_nothing_is_left_when(how: str, server: DebianMachine) -> None:
    """The server stays ready for sites, and the name is free for a better try."""
    before = remains(server)
    bad = BAD[how]
    folder = put_site(server, "first", bad.app, bad.more)
    ran = server.run(["hostel", "apply", folder], timeout=600)
    assert ran.returncode == 4, ran.stderr
    assert not [text for text in bad.said if text not in ran.stderr], ran.stderr
    assert "Nothing of the site is left" in ran.stderr
    assert remains(server) == before
    traces = ["find", "/srv/hostel", "/var/lib/hostel", "/var/log/hostel", "/etc/hostel"]
    left = server.run([*traces, "-path", "*first*", "-not", "-path", "*/cache/*"], check=True)
    assert left.stdout == ""
    assert server.run(["getent", "passwd", "hostel-first"]).returncode == 2
    assert "first" not in server.read("/var/lib/hostel/ledger.json")
    assert ask(server, HOST).text == "hello"
    put_site(server, "first", NEW)
    server.run(["hostel", "apply", folder], check=True, timeout=600)
    assert ask(server, "first.example.com").text == "new"
    server.run(["hostel", "remove", "first", "--data", "--yes"], check=True, timeout=600)
