"""mod_wsgi, built once per Python and httpd, and kept in the cache all sites share.

Never installs it into an app's own environment; loads nothing.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from hostel import uvtool
from hostel.errors import HostelError
from hostel.httpd_build import Httpd, how_to_install
from hostel.interpreter import Interpreter
from hostel.machine import Machine

VERSION = "6.1.1"
DOING = f"building mod_wsgi {VERSION}"
FACTS, MODULE = "built-for.json", "mod_wsgi.so"


def module_for(
    interpreter: Interpreter,
    httpd: Httpd,
    cache: Path,
    machine: Machine,
    progress: Callable[[str], None],
) -> Path:
    """The mod_wsgi of this Python for this httpd, from the cache or newly built.

    Raises HostelError naming what is missing to build it.
    """
    facts = _facts(interpreter, httpd)
    entry = place(interpreter, httpd, cache).parent
    if _whole(entry, facts, machine):
        return entry / MODULE
    import filelock

    with uvtool.plain_umask():
        machine.make_folder(entry.parent, 0o755)
    with filelock.FileLock(entry.parent / ".lock", mode=0o600):
        if not _whole(entry, facts, machine):
            _check_tools(interpreter, httpd, machine)
            progress(f"building mod_wsgi {VERSION} for Python {interpreter.version} (once)")
            _build(entry, facts, interpreter, httpd, machine)
    return entry / MODULE


def place(interpreter: Interpreter, httpd: Httpd, cache: Path) -> Path:
    """Where `module_for` puts the module, or has put it."""
    facts = _facts(interpreter, httpd)
    digest = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return cache / "mod_wsgi" / digest / MODULE


def _facts(interpreter: Interpreter, httpd: Httpd) -> dict[str, str]:
    """All that a built module depends on. A digest of it names the cache entry."""
    return {
        "mod_wsgi": VERSION,
        "python": interpreter.version,
        "base_prefix": str(interpreter.base_prefix),
        "httpd": httpd.version,
        "mmn": httpd.mmn,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _whole(entry: Path, facts: dict[str, str], machine: Machine) -> bool:
    """Whether the entry holds the module it says it holds; a damaged one is built again."""
    module = machine.read(entry / MODULE)
    text = machine.read(entry / FACTS)
    if not module or not text:
        return False
    try:
        said: Any = json.loads(text)
    except ValueError:
        return False
    return bool(said == {**facts, "sha256": sha256(module).hexdigest()})


def _check_tools(interpreter: Interpreter, httpd: Httpd, machine: Machine) -> None:
    if httpd.apxs is None:
        raise HostelError(DOING, "apxs is missing", how_to_install("apxs"))
    if not interpreter.include_ok:
        raise HostelError(
            DOING,
            f"{interpreter.path} has no Python.h",
            f"apt-get install python{'.'.join(interpreter.version.split('.')[:2])}-dev",
        )
    said = machine.run([str(httpd.apxs), "-q", "CC"], timeout=20)
    if not said.ok:
        raise HostelError(DOING, f"{httpd.apxs} does not run", how_to_install("apxs"), said.tail)
    compiler = said.out.split()[0] if said.out.split() else "cc"
    if shutil.which(compiler) is None:
        raise HostelError(
            DOING,
            f"there is no C compiler ({compiler})",
            "Install one: apt-get install gcc libc6-dev"
            if shutil.which("apt-get")
            else "Install your system's C compiler.",
        )


def _build(
    entry: Path, facts: dict[str, str], interpreter: Interpreter, httpd: Httpd, machine: Machine
) -> None:
    """Build in a folder beside the entry and put it in place in one step."""
    for left in entry.parent.glob(".new-*"):
        machine.remove(left)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        module = _compiled(folder, interpreter, httpd, machine)
        said = {**facts, "sha256": sha256(module).hexdigest()}
        made = folder / "entry"
        machine.make_folder(made, 0o755)
        machine.write(made / MODULE, module, 0o644)
        machine.write(made / FACTS, json.dumps(said, indent=1).encode(), 0o644)
        machine.remove(entry)
        made.rename(entry)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compiled(folder: Path, interpreter: Interpreter, httpd: Httpd, machine: Machine) -> bytes:
    """The module's bytes, from a throwaway environment.

    Without uv's cache: a wheel built there for one Python 3.11 would be taken for another one
    and point into the first one's libraries. TMPDIR is ours as well: mod_wsgi's setup writes the
    build folder into the module as a place to search for libpython, and in a /tmp open to all
    somebody else could put one there.
    """
    venv = folder / "venv"
    extra = {"APXS": str(httpd.apxs), "TMPDIR": str(folder)}
    install = ["pip", "install", "--python", str(venv / "bin" / "python"), "--no-cache"]
    steps = (
        ["venv", "--python", str(interpreter.path), str(venv)],
        [*install, "--no-binary", "mod_wsgi", f"mod_wsgi=={VERSION}"],
    )
    for arguments in steps:
        ran = uvtool.run(machine, arguments, cwd=folder, extra=extra)
        if not ran.ok:
            raise uvtool.failure(DOING, ran)
    built = sorted(venv.glob("lib/python3*/site-packages/mod_wsgi/server/mod_wsgi*.so"))
    module = built[0].read_bytes() if built else b""
    if b"wsgi_module" not in module:
        raise HostelError(DOING, "the build ended without a module", "Please report this.")
    return module
