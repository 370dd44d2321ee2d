"""The environment of a site: made once for each set of requirements, named by their digest.

Holds what the app imports from others; its own code is in the release and never installed here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hostel import uvtool
from hostel.errors import HostelError
from hostel.interpreter import Interpreter
from hostel.machine import Machine
from hostel.requirements import Needs, metadata, needs_of

FORMAT = 1
MARKER = ".hostel-complete"
"""Written last: a venv without it was left half-made by a run that was killed."""

SCRIPT = """#!{python}
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.argv[0] = {name!r}
    sys.exit({function}())
"""


def ensure(
    root: Path,
    interpreter: Interpreter,
    venvs: Path,
    machine: Machine,
    progress: Callable[[str], None],
) -> Path:
    """The venv for the requirements of the project in `root`, made if it is not there yet.

    Raises HostelError with uv's own words when something cannot be installed.
    """
    needs = needs_of(root)
    venv = venvs / digest_of(needs, interpreter)
    if is_whole(venv):
        return venv
    machine.make_folder(venvs, 0o755)
    _reachable(venvs, machine)
    machine.remove(venv)
    progress(f"installing {needs.file}" if needs.file else "making an empty environment")
    try:
        with uvtool.plain_umask():
            _make(venv, root, needs, interpreter, machine)
            _describe(venv, needs, machine)
        _open_to_all(venv, machine)
        os.sync()
        said = {"python": interpreter.version, "from": needs.file}
        machine.write(venv / MARKER, json.dumps(said).encode(), 0o644)
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        raise
    return venv


def place(root: Path, interpreter: Interpreter, venvs: Path) -> Path:
    """Where `ensure` makes the venv, or has made it."""
    return venvs / digest_of(needs_of(root), interpreter)


def is_whole(venv: Path) -> bool:
    """Whether it is all there and its Python still is."""
    return (venv / MARKER).is_file() and (venv / "bin" / "python").exists()


def digest_of(needs: Needs, interpreter: Interpreter) -> str:
    """The name of a venv: everything that decides what is in it."""
    parts = [FORMAT, interpreter.version, str(interpreter.path), str(interpreter.base_prefix)]
    parts += [platform.machine(), needs.kind, *needs.contents]
    return sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _make(venv: Path, root: Path, needs: Needs, interpreter: Interpreter, machine: Machine) -> None:
    python = str(interpreter.path)
    made = uvtool.run(machine, ["venv", "--python", python, str(venv)], cwd=root)
    if not made.ok:
        raise uvtool.failure(f"making an environment for Python {interpreter.version}", made)
    if needs.kind == "none":
        return
    # Copies as root: links would open and close root's own cache to others along with the venv.
    common = ["--compile-bytecode", *(("--link-mode", "copy") if machine.is_root else ())]
    install = ["pip", "install", "--python", str(venv / "bin" / "python"), *common]
    own = ["-r", str(root / "pyproject.toml"), *(f"--extra={one}" for one in needs.extras)]
    doing, remedy = f"installing {needs.file}", f"Correct {needs.file}, then run this again."
    if needs.kind == "lock":
        sync = ["sync", "--frozen", "--no-dev", "--no-install-project", "--no-editable"]
        extra = {"UV_PROJECT_ENVIRONMENT": str(venv)}
        ran = uvtool.run(machine, [*sync, "--python", python, *common], cwd=root, extra=extra)
    elif needs.kind == "project":
        ran = uvtool.run(machine, [*install, *own], cwd=root)
    else:
        # In the venv, where a killed run leaves no litter; for us alone, since it may name an
        # index with a password.
        listed = venv / "requirements.txt"
        machine.write(listed, needs.text.encode(), 0o600)
        more = own if needs.itself and needs.project else []
        ran = uvtool.run(machine, [*install, "-r", str(listed), *more], cwd=root)
        ran = replace(ran, err=ran.err.replace(str(listed), needs.file))
        machine.remove(listed)
    if not ran.ok:
        raise uvtool.failure(doing, ran, remedy)


def _describe(venv: Path, needs: Needs, machine: Machine) -> None:
    """Let `importlib.metadata` know the project itself: its name, version and entry points.

    Installing it would put a second copy of its code here, which would go stale.
    """
    name, version, groups = metadata(needs.project)
    sites = sorted(venv.glob("lib/python3*/site-packages"))
    if not name or not sites:
        return
    plain = "".join(char if char.isalnum() else "_" for char in name)
    folder = sites[0] / f"{plain}-{version}.dist-info"
    machine.make_folder(folder, 0o755)
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    machine.write(folder / "METADATA", about.encode(), 0o644)
    machine.write(folder / "INSTALLER", b"hostel\n", 0o644)
    lines = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items()), ""]
    machine.write(folder / "entry_points.txt", "\n".join(lines).encode(), 0o644)
    for script, target in groups.get("console_scripts", {}).items():
        module, _, function = target.partition(":")
        if "/" in script or not function or (venv / "bin" / script).exists():
            continue
        text = SCRIPT.format(
            python=venv / "bin" / "python",
            module=module.strip(),
            first=function.strip().partition(".")[0],
            function=function.partition("[")[0].strip(),
            name=script,
        )
        machine.write(venv / "bin" / script, text.encode(), 0o755)


def _open_to_all(venv: Path, machine: Machine) -> None:
    """Let the runner read all of it: uv's cache may hold files of a time with a strict umask."""
    venv.chmod(0o755)
    machine.remove(venv / ".lock")  # uv's, and open to everybody's writing.
    if not machine.is_root:
        return
    for folder, folders, files in os.walk(venv):
        for name in (*folders, *files):
            path = Path(folder, name)
            info = path.lstat()
            if stat.S_ISLNK(info.st_mode):
                continue
            mode = stat.S_IMODE(info.st_mode)
            wide = 0o755 if stat.S_ISDIR(info.st_mode) or mode & 0o100 else 0o644
            if mode != wide:
                path.chmod(wide)


def _reachable(venvs: Path, machine: Machine) -> None:
    closed = machine.first_closed(venvs, machine.runner)
    if closed is not None:
        raise HostelError(
            "making the environment",
            f"{machine.runner.name}, as whom the site runs, cannot enter {closed}",
            "Give a folder it can enter with --dir.",
        )
