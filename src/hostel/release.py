"""Releases: a site's code and everything it runs with, built once and never changed after.

A release lies in a folder named by its id; a file written last says that it is whole. Starts
nothing and decides nothing about what is live.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hostel import kept, modwsgi, ownership, source, uvtool, venv
from hostel.errors import HostelError
from hostel.hooks import run_hook
from hostel.httpd_build import Httpd
from hostel.interpreter import Interpreter, choose
from hostel.machine import Machine
from hostel.source import Tree, Vanished

FORMAT = 1
FACTS = "release.json"
"""Written last: a release without it was left half-made by a run that was killed."""

Say = Callable[[str], None]
Chooser = Callable[[str | None, Path, Machine], Interpreter]


@dataclass(frozen=True)
class Recipe:
    """What a release is made of. `state` holds the releases and venvs of the one site.

    What `keep` names stays in the project, or lies in `data` where that is given.
    """

    root: Path
    state: Path
    cache: Path
    python: str | None = None
    keep: tuple[str, ...] = ()
    hook: tuple[str, ...] = ()
    data: Path | None = None


@dataclass(frozen=True)
class Release:
    """A whole release. `kept` names the data that stayed in the project."""

    id: str
    code: Path
    venv: Path
    interpreter: Interpreter
    module: Path
    kept: tuple[str, ...]


def build(
    recipe: Recipe, httpd: Httpd, env: Mapping[str, str], machine: Machine, say: Say
) -> Release:
    """The release of the project as it is now; made if there is none yet, else only found.

    `env` is the app's environment, in which the build hook runs. Raises HostelError when a part
    cannot be made; then nothing of it is left.
    """
    interpreter = choose(recipe.python, recipe.root, machine)
    machine.make_folder(recipe.state / "releases", 0o755)
    source.check_kept(recipe.root.resolve(), recipe.keep)
    if recipe.data is None:
        _make_kept(recipe, machine)
    else:
        kept.bring(recipe.root, recipe.keep, recipe.data, machine)
    for last in (False, True):
        tree = source.scan(recipe.root, machine, recipe.keep, recipe.state)
        venv.ensure(recipe.root, interpreter, recipe.state / "venvs", machine, say)
        modwsgi.module_for(interpreter, httpd, recipe.cache, machine, say)
        release = _named(recipe, tree, interpreter, httpd)
        if is_whole(release.code.parent):
            note_module(release.code.parent, str(release.module), machine)
            return release
        try:
            _make(release, tree, recipe, env, machine, say)
        except Vanished as error:
            if last:
                raise HostelError(
                    "copying the project",
                    f"its files keep changing while they are read ({error})",
                    "Run this again when they are at rest; data belong under `keep`.",
                ) from error
            continue
        return release
    raise AssertionError


def foresee(recipe: Recipe, httpd: Httpd, machine: Machine, choose: Chooser = choose) -> Release:
    """The release that `build` would make of the project as it is now; makes nothing."""
    source.check_kept(recipe.root.resolve(), recipe.keep)
    interpreter = choose(recipe.python, recipe.root, machine)
    tree = source.scan(recipe.root, machine, recipe.keep, recipe.state)
    return _named(recipe, tree, interpreter, httpd)


def is_whole(folder: Path) -> bool:
    """Whether a release's folder holds all of it."""
    return (folder / FACTS).is_file()


def facts(folder: Path, machine: Machine) -> dict[str, Any]:
    """What a whole release says of itself; nothing where that cannot be read."""
    try:
        said = json.loads(machine.read(folder / FACTS) or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _named(recipe: Recipe, tree: Tree, interpreter: Interpreter, httpd: Httpd) -> Release:
    place = venv.place(recipe.root, interpreter, recipe.state / "venvs")
    name = _id(tree, place, interpreter, recipe.hook)
    code = recipe.state / "releases" / name / "code"
    module = modwsgi.place(interpreter, httpd, recipe.cache)
    return Release(name, code, place, interpreter, module, tree.kept)


def _make_kept(recipe: Recipe, machine: Machine) -> None:
    """Make the folders that are to be kept, as far as a name without a suffix tells folders.

    Otherwise the app would meet a link to nothing, in whose place it cannot make a folder.
    """
    for name in recipe.keep:
        path = recipe.root / name
        if not path.suffix and not os.path.lexists(path) and path.parent.is_dir():
            with contextlib.suppress(HostelError):
                machine.make_folder(path, 0o755, machine.runner)


def _id(tree: Tree, place: Path, interpreter: Interpreter, hook: Sequence[str]) -> str:
    parts = [FORMAT, tree.digest, place.name, str(interpreter.path), interpreter.version]
    return sha256(json.dumps([*parts, *hook]).encode()).hexdigest()[:12]


def _make(
    release: Release,
    tree: Tree,
    recipe: Recipe,
    env: Mapping[str, str],
    machine: Machine,
    say: Say,
) -> None:
    """Copy, run the hook, compile, settle. Made in place: a hook may write down where it is."""
    folder, hook = release.code.parent, recipe.hook
    machine.remove(folder)
    machine.make_folder(folder, 0o755)
    say(f"copying the code into release {release.id}")
    try:
        source.copy(tree, release.code, machine, recipe.data)
        if recipe.data is not None:
            kept.link(recipe.keep, recipe.data, release.code)
        ownership.hand_over(release.code, machine)
        if hook:
            say(f"running the build hook: {' '.join(hook)}")
            _run_hook(release, hook, env, machine)
        _compile(release, machine)
        ownership.settle(release.code, machine)
        said: dict[str, Any] = {
            "id": release.id,
            "venv": release.venv.name,
            "module": str(release.module),
            "python": release.interpreter.version,
            "kept": [os.fsencode(name).decode(errors="replace") for name in release.kept],
        }
        os.sync()
        machine.write(folder / FACTS, _json(said), 0o644)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def note_module(folder: Path, module: str, machine: Machine) -> None:
    """Note with which mod_wsgi it is run now, after httpd was upgraded; when it was made stays."""
    path = folder / FACTS
    said, made = facts(folder, machine), path.stat()
    if said.get("module") != module:
        machine.write(path, _json({**said, "module": module}), 0o644)
        os.utime(path, ns=(made.st_atime_ns, made.st_mtime_ns))


def _json(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, indent=1).encode()


def _run_hook(
    release: Release, hook: Sequence[str], env: Mapping[str, str], machine: Machine
) -> None:
    """Run the hook as the runner, who owns the copy for that long."""
    path = env.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    around = {
        **env,
        "PATH": f"{release.venv / 'bin'}:{path}",
        "VIRTUAL_ENV": str(release.venv),
        "PWD": str(release.code),
    }
    with uvtool.plain_umask():
        run_hook("the build hook", hook, around, release.code, machine)


def _compile(release: Release, machine: Machine) -> None:
    """Write bytecode beside the code: later the runner may not, and each process would compile.

    As the runner, so that a link left by a hook leads to nowhere the runner could not write.
    Code that does not compile is the app's matter, and told when it is loaded.
    """
    argv = [str(release.venv / "bin" / "python"), "-I", "-m", "compileall", "-q"]
    with uvtool.plain_umask():
        machine.run([*argv, str(release.code)], cwd=release.code, as_runner=True)


def prune(
    releases: Path, venvs: Path, live: Release, machine: Machine, spare: int = 1
) -> tuple[Path, ...]:
    """Remove old releases, all but `live` and the `spare` newest others, and venvs none uses.

    A release in which the app has made an SQLite database is left alone: returns those.
    """
    others = [one for one in releases.glob("*/") if one.name != live.id]
    whole = [one for one in others if (one / FACTS).is_file()]
    whole.sort(key=lambda one: (one / FACTS).stat().st_mtime_ns, reverse=True)
    written = tuple(database for one in whole for database in _databases(one))
    with_data = {one for one in whole if any(path.is_relative_to(one) for path in written)}
    stay = {*whole[:spare], *with_data}
    for one in others:
        if one not in stay:
            machine.remove(one)
    used = {live.venv.name, *(_venv_of(one, machine) for one in stay)}
    for one in venvs.glob("*/"):
        if one.name not in used:
            machine.remove(one)
    return written


def _databases(release: Path) -> list[Path]:
    """SQLite databases written in a release after it was made; no copy ever puts one there."""
    made = (release / FACTS).stat().st_mtime_ns
    found = []
    for folder, _, files in os.walk(release / "code"):
        for path in (Path(folder, name) for name in files if not name.endswith((".py", ".pyc"))):
            with contextlib.suppress(OSError):
                new = not path.is_symlink() and path.stat().st_mtime_ns > made
                if new and source.is_database(path):
                    found.append(path)
    return found


def _venv_of(release: Path, machine: Machine) -> str:
    return str(facts(release, machine).get("venv", ""))
