"""Choosing the Python that runs a site: one that mod_wsgi can be built for and the runner can read.

Finds and inspects; installs nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostel import uvtool, versions
from hostel.errors import HostelError, UsageError
from hostel.machine import Machine
from hostel.versions import NotAVersion, Test

OLDEST, NEWEST = (3, 11), (3, 14)
SYSTEM_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/local/bin", "/opt/homebrew/bin")
SHARED_INSTALLS = Path("/opt/python")
"""Where an administrator can put Pythons for everybody: the home of root is closed to others."""

INSPECTION = """
import json, os, sys, sysconfig
get = sysconfig.get_config_var
folders = [get("LIBDIR"), get("PYTHONFRAMEWORKPREFIX"), os.path.join(sys.base_prefix, "lib")]
names = [get("INSTSONAME"), get("LDLIBRARY")]
found = [os.path.join(folder, name) for folder in folders if folder for name in names if name
         and not name.endswith(".a") and os.path.exists(os.path.join(folder, name))]
print(json.dumps({
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "version": ".".join(map(str, sys.version_info[:3])),
    "final": sys.version_info.releaselevel == "final" and sys.implementation.name == "cpython"
             and not get("Py_GIL_DISABLED"),
    "base_prefix": sys.base_prefix,
    "stdlib": sysconfig.get_path("stdlib"),
    "shared": bool((get("Py_ENABLE_SHARED") or get("PYTHONFRAMEWORK")) and found),
    "library": found[0] if found else "",
    "libdir": os.path.dirname(found[0]) if found else get("LIBDIR") or "",
    "include_ok": os.path.exists(os.path.join(get("INCLUDEPY") or "", "Python.h")),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python as it is installed, never a virtual environment or a shim of it."""

    path: Path
    version: str
    base_prefix: Path
    include_ok: bool
    shared: bool
    libdir: Path


@dataclass(frozen=True)
class Wish:
    """What the project asks for, in its own words, and the file that says so."""

    text: str
    source: str
    test: Test


@dataclass(frozen=True)
class Refused:
    """A Python that cannot be used, and why. `lacks` says what would make it usable."""

    path: Path
    version: str
    why: str
    lacks: str = ""


def choose(wanted: str | None, root: Path, machine: Machine) -> Interpreter:
    """The first usable Python that the project accepts; the system's own come first.

    Raises UsageError for a wish that cannot be read, HostelError when no Python here meets it.
    """
    wish = wish_of(wanted, root)
    refused: list[Refused] = []
    seen: set[Path] = set()
    for candidate in _candidates(machine):
        path = candidate.resolve()
        if path in seen or not os.access(path, os.X_OK):
            continue
        seen.add(path)
        result = _examine(candidate, wish, machine)
        if isinstance(result, Interpreter):
            return result
        if result.path not in {one.path for one in refused}:
            refused.append(result)
        seen.add(result.path)
    raise _none_usable(wish, refused, machine)


def wish_of(wanted: str | None, root: Path) -> Wish:
    """Which versions the project accepts: its site file first, then what Python tools read."""
    text, source = wanted, "the site file"
    if text is None:
        text, source = _dot_python_version(root), ".python-version"
    if text is None:
        text, source = _requires_python(root), "pyproject.toml"
    if text is None:
        return Wish("", "", lambda _version: True)
    try:
        return Wish(text, source, versions.fits(text))
    except NotAVersion:
        raise UsageError(
            f"reading which Python {source} asks for",
            f'"{text}" is no version of CPython',
            f'Write it like "3.11" or ">=3.11" in {source}.',
        ) from None


def _dot_python_version(root: Path) -> str | None:
    try:
        text = (root / ".python-version").read_text(errors="replace")
    except OSError:
        return None
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return next((line for line in lines if line and line != "system"), None)


def _requires_python(root: Path) -> str | None:
    try:
        said = tomllib.loads((root / "pyproject.toml").read_text())
    except OSError:
        return None
    except ValueError as error:
        raise UsageError(
            "reading pyproject.toml", str(error), "Correct that line, then run this again."
        ) from error
    poetry = said.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
    text = said.get("project", {}).get("requires-python", poetry)
    return text if isinstance(text, str) else None


def _candidates(machine: Machine) -> Iterator[Path]:
    """Pythons in order of preference; uv, which is slow to ask, only when the others do not do."""
    minors = range(NEWEST[1], OLDEST[1] - 1, -1)
    for folder in SYSTEM_FOLDERS:
        for name in ("python3", *(f"python3.{minor}" for minor in minors)):
            yield Path(folder, name)
    yield Path(getattr(sys, "_base_executable", None) or sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for installs in (SHARED_INSTALLS, pyenv):
        for minor in minors:
            with contextlib.suppress(PermissionError):
                yield from sorted(installs.glob(f"*/bin/python3.{minor}"), reverse=True)
    arguments = ["python", "list", "--only-installed", "--output-format", "json"]
    ran = uvtool.run(machine, arguments, cwd=Path("/"), timeout=60)
    if ran.ok:
        for entry in json.loads(ran.out or "[]"):
            if entry.get("implementation") == "cpython" and entry.get("variant") == "default":
                yield Path(entry["path"])


def _examine(candidate: Path, wish: Wish, machine: Machine) -> Interpreter | Refused:
    guess = re.search(r"3\.\d+", candidate.resolve().name)
    ran = machine.run([str(candidate), "-I", "-c", INSPECTION], timeout=30, cwd=Path("/"))
    try:
        facts = json.loads(ran.out)
    except ValueError:
        why = f"does not run: {ran.tail.splitlines()[-1] if ran.tail else ran.code}"
        return Refused(candidate, guess[0] if guess else "3", why)
    path, version = Path(facts["executable"]).resolve(), str(facts["version"])
    number = versions.parse(version)
    if not (facts["final"] and OLDEST <= number[:2] <= NEWEST):
        return Refused(path, version, "Hostel runs sites on CPython 3.11 to 3.14", "version")
    if not wish.test(number):
        return Refused(path, version, f'{wish.source} asks for "{wish.text}"', "version")
    for needed in (path, Path(facts["stdlib"]), Path(facts["library"] or path)):
        closed = machine.first_closed(needed.resolve(), machine.runner)
        if closed is not None:
            return Refused(path, version, f"{machine.runner.name} cannot read {closed}", "access")
    if not facts["include_ok"]:
        return Refused(path, version, "has no Python.h", "headers")
    if not facts["shared"]:
        return Refused(path, version, "has no shared libpython", "library")
    return Interpreter(path, version, Path(facts["base_prefix"]), True, True, Path(facts["libdir"]))


def _none_usable(wish: Wish, refused: list[Refused], machine: Machine) -> HostelError:
    what = f'Python "{wish.text}", which {wish.source} asks for,' if wish.text else "Python"
    lines = [f"{one.path} ({one.version}): {one.why}" for one in refused]
    return HostelError(
        "choosing a Python for the site",
        f"no {what} is usable here" if lines else "no Python 3 was found",
        _remedy(wish, refused, machine),
        "\n".join(lines),
    )


def _remedy(wish: Wish, refused: list[Refused], machine: Machine) -> str:
    """The shortest way to a usable Python: complete one that fits, else install one."""
    for one in refused:
        if one.lacks in ("headers", "library") and one.path.parent == Path("/usr/bin"):
            minor = ".".join(one.version.split(".")[:2])
            usual = Path("/usr/bin/python3").resolve() == one.path
            return f"Install its headers: apt-get install python{'3' if usual else minor}-dev"
    number = re.search(r"\d+\.\d+(\.\d+)?", wish.text)
    version = number[0] if number else "3.12"
    uv = f"uv python install {version}"
    if machine.is_root:
        uv = f"UV_PYTHON_INSTALL_DIR={SHARED_INSTALLS} {uv}"
    minor = ".".join(version.split(".")[:2])
    remedy = f"Install one: {uv}, or your system's packages python{minor} and python{minor}-dev."
    return f"{remedy} Or change it in {wish.source}." if wish.source else remedy
