"""Loading apps in a process of their own, as httpd will, and what is said when it fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from hostel.boot_files import BESIDE, texts
from hostel.checkapp import check
from hostel.errors import HostelError
from hostel.interpreter import Interpreter
from hostel.machine import Machine

from .conftest import Project

Check = Callable[..., None]
HELLO = "def application(environ, start_response):\n    return []\n"


@pytest.fixture
def checked(project: Project, machine: Machine, python: Interpreter) -> Check:
    """Checks an app made of these files."""

    def run(app: str, files: dict[str, str], timeout: float = 30, **more: Any) -> None:
        root = project(files)
        boot = root.parent / "boot"
        boot.mkdir(exist_ok=True)
        boot.chmod(0o755)
        for name, text in texts(BESIDE).items():
            (boot / name).write_bytes(text)
        facts = {
            "app": app,
            "cwd": str(root),
            "path": [str(root)],
            "argv": ["app"],
            "env": {"LANG": "C.UTF-8"},
            **more,
        }
        (boot / "boot.json").write_text(json.dumps(facts))
        for path in boot.iterdir():
            path.chmod(0o644)
        check(boot / "boot.json", python.path, machine, timeout)
        assert {path.name for path in boot.iterdir()} == {*BESIDE, "boot.json"}

    return run


def said(checked: Check, app: str, files: dict[str, str], **more: Any) -> HostelError:
    with pytest.raises(HostelError) as caught:
        checked(app, files, **more)
    return caught.value


def test_a_good_app_passes_in_silence(checked: Check) -> None:
    checked("app:application", {"app.py": HELLO})


@pytest.mark.parametrize(
    ("app", "files"),
    [
        ("app", {"app.py": HELLO}),
        ("app.py", {"app.py": HELLO}),
        ("app.py:application", {"app.py": HELLO}),
        ("app:app", {"app.py": HELLO.replace("application", "app")}),
        ("app", {"app.py": HELLO.replace("application", "app")}),
        ("app:make()", {"app.py": HELLO + "def make(): return application\n"}),
        (
            "app:make('x', debug=True)",
            {"app.py": HELLO + "def make(name, debug=False): return application\n"},
        ),
        ("app:Holder.app", {"app.py": HELLO + "class Holder: app = staticmethod(application)\n"}),
        ("site.wsgi", {"site.wsgi": HELLO}),
        ("deploy/my-app.wsgi", {"deploy/my-app.wsgi": HELLO}),
        (
            "pkg.web:application",
            {"pkg/__init__.py": "", "pkg/web.py": "from . import x\n" + HELLO, "pkg/x.py": ""},
        ),
        (
            "pkg/web.py",
            {"pkg/__init__.py": "", "pkg/web.py": "from . import x\n" + HELLO, "pkg/x.py": ""},
        ),
        ("mysite.wsgi:application", {"mysite/__init__.py": "", "mysite/wsgi.py": HELLO}),
        ("site.py", {"site.py": HELLO}),
        ("json.py", {"json.py": HELLO}),
    ],
)
def test_each_way_to_name_an_app_is_understood(
    checked: Check, app: str, files: dict[str, str]
) -> None:
    checked(app, files)


def test_a_file_is_the_module_that_others_import(checked: Check) -> None:
    checked(
        "app.py",
        {
            "app.py": "import models\ncount = 1\n" + HELLO + "assert models.other.count == 1\n",
            "models.py": "import app as other\n",
        },
    )


def test_the_process_is_settled_before_the_app_is_loaded(checked: Check) -> None:
    env = {"LANG": "C.UTF-8", "A": "ä 'q' \"d\" $x\n=#", "EMPTY": "", "Ü": "x"}
    checked(
        "app:application",
        {
            "app.py": f"import os, sys\nassert dict(os.environ) == {env!r}, os.environ\n"
            "assert os.path.samefile('.', os.path.dirname(__file__))\n"
            "assert sys.argv == ['app'] and sys.path[0] == os.path.dirname(__file__)\n"
            f"import subprocess\n"
            "out = subprocess.run(['/usr/bin/env', '-0'], capture_output=True).stdout\n"
            "assert set(out.decode().split('\\0')[:-1]) == "
            f"{ {f'{k}={v}' for k, v in env.items()}!r}\n" + HELLO,
        },
        env=env,
    )


def test_what_the_app_prints_disturbs_nothing(checked: Check) -> None:
    noise = (
        "import os, sys\nprint('{\"ok\": false}')\nos.write(1, b'x' * 100000)\n"
        "sys.stdout.close()\nsys.stderr = None\n"
    )
    checked("app", {"app.py": noise + HELLO})


def test_threads_and_exit_handlers_of_the_app_do_not_hold_it_up(checked: Check) -> None:
    began = time.monotonic()
    checked(
        "app",
        {
            "app.py": "import atexit, threading, time\natexit.register(time.sleep, 60)\n"
            "threading.Thread(target=time.sleep, args=(60,)).start()\n" + HELLO
        },
    )
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("app", "text", "happened", "remedy"),
    [
        ("app:aplication", HELLO, 'no "aplication"', '"app:application"'),
        ("app:app", "import flask_like\nserver = 1\n", "flask_like", "requirements.txt"),
        ("app:nothing", "x = 1\n", 'no "nothing"', "module-level name"),
        ("app", "def create_app():\n    pass\n", "neither application nor app", "create_app()"),
        ("app:create_app", "def create_app():\n    pass\n", "factory", '"app:create_app()"'),
        ("app:app", "async def app(scope, receive, send): pass\n", "ASGI", "WSGI"),
        ("app:app", "app = 3\n", "cannot be called", "Name the app itself"),
        ("app:app", "import yaml_not_here\n", "yaml_not_here", "yaml-not-here"),
        ("app:app", "import sys\nprint('No config!')\nsys.exit(2)\n", "sys.exit(2)", "sys.exit"),
        ("app:app", "print 'x'\n", "Missing parentheses", "Python 2"),
        ("app:app", "def app(\n", "SyntaxError", "Correct that line"),
        ("nope:app", HELLO, 'no module "nope"', "looked up"),
        ("ap:app", HELLO, 'no module "ap"', '"app:app"'),
        ("ap.py", HELLO, "no file ap.py", '"app.py"'),
        ("app:f(x)", HELLO, "literal", "factory()"),
        ("app:1+1", HELLO, "no name", "module:callable"),
    ],
)
def test_each_mistake_is_named_with_what_to_do(
    checked: Check, app: str, text: str, happened: str, remedy: str
) -> None:
    error = said(checked, app, {"app.py": text, "requirements.txt": ""})
    assert happened in error.happened
    assert remedy in error.remedy


def test_a_module_in_a_folder_of_the_project_is_found(checked: Check) -> None:
    error = said(checked, "app", {"app.py": "import core\n", "lib/core.py": ""})
    assert 'path = [".", "lib"]' in error.remedy


def test_the_apps_own_lines_are_the_detail_and_its_environment_is_not(checked: Check) -> None:
    error = said(
        checked,
        "app",
        {"app.py": "def f():\n    1 / 0\nf()\n"},
        env={"LANG": "C.UTF-8", "SECRET": "hunter2"},
    )
    assert 'File "app.py", line 2, in f' in error.detail
    assert "hunter2" not in f"{error}{error.detail}{error.remedy}"
    assert "hostel_boot" not in error.detail
    assert "frames in" not in error.detail


def test_what_it_wrote_before_it_left_is_told(checked: Check) -> None:
    error = said(checked, "app", {"app.py": "print('No config!')\nraise SystemExit(2)\n"})
    assert "No config!" in error.detail


@pytest.mark.parametrize(
    ("text", "happened"),
    [
        ("import os\nos._exit(7)\n", "code 7"),
        ("import os\nos._exit(0)\n", "code 0"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "SIGKILL"),
        ("import ctypes\nctypes.string_at(0)\n", "SIGSEGV"),
        ("import time\ntime.sleep(60)\n", "did not end within 2 s"),
        ("import sys\nwhile True: sys.stdout.write('x' * 100000)\n", "without end"),
    ],
)
def test_a_process_that_ends_without_a_word_is_told(
    checked: Check, text: str, happened: str
) -> None:
    timeout = 2 if "sleep" in text else 30
    assert happened in said(checked, "app", {"app.py": text}, timeout=timeout).happened


def test_no_process_is_left_behind(checked: Check) -> None:
    said(
        checked,
        "app",
        {
            "app.py": "import subprocess, time\n"
            "subprocess.Popen(['sleep', '61.75'])\ntime.sleep(60)\n"
        },
        timeout=2,
    )
    time.sleep(0.3)
    every = psutil.process_iter(["cmdline"])
    left = [one for one in every if "61.75" in (one.info["cmdline"] or [])]
    assert [one.pid for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
