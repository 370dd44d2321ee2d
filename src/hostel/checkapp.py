"""Trying an app before any httpd is started for it, and saying in plain words what is wrong.

Runs boot/check.py in the site's own Python as the runner; changes nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import secrets
import signal
import subprocess
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

from hostel.errors import HostelError
from hostel.machine import Machine

MOST_OUTPUT = 20_000_000
"""An app that writes more than this many bytes while it is imported will not stop by itself."""

GRACE = 3.0
"""Seconds beyond its timeout that a check has to say so itself."""

SLOW = (
    "Something at module level waits or serves for ever (app.run(), a connection, a loop): put it "
    'below `if __name__ == "__main__":`. If it only takes its time, raise timeout in [health].'
)

_MACHINERY = re.compile(
    r'\s*File "(?:<frozen importlib|<string>"|.*/importlib/__init__\.py"'
    r'|.*/(?:wsgi|load)\.py", line \d+ in (?:start|load|load_file)$)'
)
"""Lines of a crash that lead through Python's and Hostel's own ways of importing."""

IMPORT_NAMES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "MySQLdb": "mysqlclient",
    "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "jwt": "PyJWT",
    "rest_framework": "djangorestframework",
    "environ": "django-environ",
    "decouple": "python-decouple",
    "flask_sqlalchemy": "Flask-SQLAlchemy",
    "magic": "python-magic",
    "attr": "attrs",
    "pkg_resources": "setuptools",
}
"""Packages that are not called as what one imports; the usual ones among them."""


def check(boot_json: Path, python: Path, machine: Machine, timeout: float = 60) -> None:
    """Load the app of `boot_json` with its environment, as its user; silent when it is well.

    `python` is the one of the release's venv. Raises HostelError saying what is wrong with the
    app, its own traceback as detail.
    """
    boot = json.loads(boot_json.read_bytes())
    mark = secrets.token_hex(8)
    script = (resources.files("hostel") / "boot" / "check.py").read_text()
    # The script goes along as an argument: the runner may not be able to read Hostel's folder.
    argv = [str(python), "-I", "-X", "utf8", "-c", script, str(boot_json), mark]
    argv += [f"{timeout:g}"]
    with tempfile.TemporaryDirectory(prefix="hostel-check-") as folder:
        log = Path(folder, "output")
        child = machine.spawn(argv, env=boot["env"], cwd=Path(boot["cwd"]), log=log, as_runner=True)
        # It gives up by itself and says where it is, unless it cannot even do that.
        end = _wait(child, log, machine, timeout + GRACE)
        said, verdict = _split(log, mark)
    if verdict is None:
        raise _died(boot["app"], end, said, timeout)
    if not verdict.get("ok"):
        raise _unfit(boot, verdict, said)


def _wait(child: subprocess.Popen[bytes], log: Path, machine: Machine, timeout: float) -> str:
    """Wait for the end; returns why it was ended by force, or "". Leaves no process behind."""
    deadline = time.monotonic() + timeout
    why = ""
    while not why:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.1)
            break
        if time.monotonic() > deadline:
            why = "timeout"
        elif log.stat().st_size > MOST_OUTPUT:
            why = "output"
    machine.end_session(child)
    code = child.wait()
    return why or (f"signal {-code}" if code < 0 else f"exit {code}")


def _split(log: Path, mark: str) -> tuple[str, dict[str, Any] | None]:
    """What the app itself wrote (the end of it), and the verdict if there was one."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 200_000))
        text = file.read().decode(errors="replace")
    said, found, rest = text.rpartition(mark)
    if not found:
        return text, None
    line, _, after = rest.partition("\n")
    try:
        verdict = json.loads(line)
    except ValueError:
        return text, None
    return said + after, verdict if isinstance(verdict, dict) else None


def _died(app: str, end: str, said: str, timeout: float) -> HostelError:
    """The process ended without a verdict."""
    doing = f"loading the app {app}"
    lines = [line for line in said.strip().splitlines() if not _MACHINERY.match(line)]
    tail = "\n".join(lines[-15:])
    kind, _, number = end.partition(" ")
    if kind == "timeout":
        return HostelError(
            doing,
            f"its import did not end within {timeout:.0f} s",
            SLOW,
            tail,
        )
    if kind == "output":
        return HostelError(
            doing,
            "it writes without end while it is imported",
            "Move that out of the import.",
            tail[-2000:],
        )
    if kind == "signal":
        with contextlib.suppress(ValueError):
            name = signal.Signals(int(number)).name
            remedy = {
                "SIGSEGV": "An extension module crashes; the lines above say where it was called.",
                "SIGKILL": "Something killed it: it may need more memory than it is allowed.",
            }.get(name, "")
            return HostelError(doing, f"the process was ended by {name}", remedy, tail)
    return HostelError(
        doing,
        f"the process ended by itself with code {number}",
        "Nothing may call os._exit while the app is imported.",
        tail,
    )


def _unfit(boot: dict[str, Any], verdict: dict[str, Any], said: str) -> HostelError:
    problem, message = str(verdict.get("problem")), str(verdict.get("message"))
    detail = str(verdict.get("traceback", ""))
    if problem in ("exit", "slow") and said.strip():
        detail = f"{detail}\n\nIt wrote:\n" + "\n".join(said.strip().splitlines()[-10:])
    return HostelError(
        f"loading the app {boot['app']}", message, _remedy(problem, boot, verdict), detail.strip()
    )


def _remedy(problem: str, boot: dict[str, Any], verdict: dict[str, Any]) -> str:
    """What to do about a kind of problem."""
    where, _, expression = str(boot["app"]).partition(":")
    if problem == "no-module":
        return _missing_module(str(verdict.get("module", "")), boot)
    if problem in ("no-callable", "no-app-module", "no-app-file"):
        return _near(problem, where, expression, boot, verdict)
    name = expression or "application"
    return {
        "python2": "This is Python 2 code: port it to Python 3 (2to3, or python-modernize).",
        "syntax-error": "Correct that line; what ran before runs still.",
        "needs-factory-call": f'It has to be called: write app = "{where}:{name}()".',
        "asgi": "Hostel hosts WSGI apps. If the framework has a WSGI app too (Django: "
        "wsgi.application), name that one; else wrap it with a2wsgi.ASGIMiddleware.",
        "slow": SLOW,
        "exit": "Nothing may call sys.exit() while the app is imported; look at what it wants.",
        "not-callable": f'Name the app itself: app = "{where}:NAME".',
        "wrong-signature": "A WSGI app is called with (environ, start_response).",
        "bad-name": 'Write it like "module:callable" or "module:factory()".',
    }.get(problem, "Correct the app; the lines above are its own.")


def _missing_module(module: str, boot: dict[str, Any]) -> str:
    """A package to install, or a folder of the project that is not on sys.path."""
    top = module.partition(".")[0]
    root = Path(boot["cwd"])
    on_path = any(_has(Path(folder), top) for folder in boot["path"])
    if on_path:
        return f'{top} is in the project, but has no "{module}": check the name.'
    for folder in _folders(root):
        if _has(folder, top):
            where = folder.relative_to(root)
            return f'{top} is in the folder {where}: write path = [".", "{where}"].'
    package = IMPORT_NAMES.get(top, top.replace("_", "-"))
    for name in ("requirements.txt", "pyproject.toml"):
        if (root / name).exists():
            return f"Add {package} to {name}, if that is the package which brings {top}."
    return f"Write a requirements.txt beside the app with the line: {package}"


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name).is_dir()


def _folders(root: Path) -> list[Path]:
    """The folders of the project, two levels deep."""
    found = []
    with contextlib.suppress(OSError):
        for pattern in ("*/", "*/*/"):
            found += [one for one in sorted(root.glob(pattern)) if not one.name.startswith(".")]
    return found


def _near(
    problem: str, where: str, expression: str, boot: dict[str, Any], verdict: dict[str, Any]
) -> str:
    """What may have been meant: a callable, a module or a file that is there."""
    root = Path(boot["cwd"])
    if problem == "no-callable":
        names = [str(name) for name in verdict.get("candidates", ())]
        wanted = re.split(r"[(.]", expression)[0] or "application"
        near = difflib.get_close_matches(wanted, names, 1, 0.5) or names[:1]
        factory = re.match(r"(create|make|get|build)_|.*factory", near[0]) if near else None
        call = "()" if factory or expression.endswith(")") else ""
        return (
            f'Did you mean app = "{where}:{near[0]}{call}"?'
            if near
            else ("Give the app a module-level name and write it after the colon.")
        )
    if problem == "no-app-file":
        files = [str(one.relative_to(root)) for one in root.rglob("*.py")][:2000]
        files += [str(one.relative_to(root)) for one in root.rglob("*.wsgi")][:100]
        near = difflib.get_close_matches(where, files, 1, 0.5)
    else:
        folders = [Path(folder) for folder in boot["path"]]
        modules = [one.stem for folder in folders for one in folder.glob("*.py")]
        modules += [one.parent.name for folder in folders for one in folder.glob("*/__init__.py")]
        near = difflib.get_close_matches(where, modules, 1, 0.5)
    end = f":{expression}" if expression else ""
    return (
        f'Did you mean app = "{near[0]}{end}"?'
        if near
        else ("Paths and modules are looked up from the folder of the site file.")
    )
