"""Whole releases: what is built, when, and what is left when something fails."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hostel import modwsgi, release, source
from hostel.errors import HostelError
from hostel.httpd_build import Httpd
from hostel.interpreter import Interpreter
from hostel.machine import Machine
from hostel.release import Recipe, Release, build, prune

from .conftest import Project, Wheel

pytestmark = pytest.mark.usefixtures("no_index")

Build = Callable[..., tuple[Release, list[str]]]
HTTPD = Httpd(Path("/usr/sbin/httpd"), None, Path("/"), "2.4.0", frozenset(), "1:1")


@pytest.fixture
def made(place: Path, machine: Machine, python: Interpreter) -> Build:
    """Builds releases of a project, with a module in the cache that stands for a built one."""
    facts = modwsgi._facts(python, HTTPD)
    name = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    entry = place / "cache" / "mod_wsgi" / name
    entry.mkdir(parents=True)
    (entry / modwsgi.MODULE).write_bytes(b"module")
    whole = {**facts, "sha256": sha256(b"module").hexdigest()}
    (entry / modwsgi.FACTS).write_text(json.dumps(whole))

    def run(
        root: Path, hook: tuple[str, ...] = (), env: dict[str, str] | None = None, **more: Any
    ) -> tuple[Release, list[str]]:
        said: list[str] = []
        recipe = Recipe(root, place / "state", place / "cache", python.version, hook=hook, **more)
        return build(recipe, HTTPD, env or {}, machine, said.append), said

    (place / "state").mkdir()
    (place / "state").chmod(0o755)
    return run


def writer(text: str) -> tuple[str, ...]:
    return ("python", "-c", text)


def test_a_second_build_of_the_same_builds_nothing(project: Project, made: Build) -> None:
    root = project({"app.py": "x = 1\n"})
    first, said = made(root)
    assert len(said) == 2
    assert (first.code / "app.py").read_text() == "x = 1\n"
    assert made(root) == (first, [])


def test_changed_code_is_another_release_in_the_same_environment(
    project: Project, made: Build
) -> None:
    first, _ = made(project({"app.py": "x = 1\n"}))
    second, _ = made(project({"app.py": "x = 2\n"}))
    assert first.id != second.id
    assert first.venv == second.venv
    assert (first.code / "app.py").read_text() == "x = 1\n"


def test_code_is_compiled_and_nobody_who_runs_it_can_change_it(
    project: Project, made: Build, machine: Machine, strict_umask: None
) -> None:
    root = project({"app.py": "x = 1\n", "pkg/a.py": "", "py2.py": "print 'x'\n", "key": "k"})
    (root / "app.py").chmod(0o644)
    built, _ = made(root)
    code = built.code
    assert list((code / "__pycache__").glob("app.*.pyc"))
    for folder, folders, files in os.walk(code):
        for path in (Path(folder), *(Path(folder, name) for name in (*folders, *files))):
            info = path.stat()
            assert info.st_uid == os.geteuid()
            assert not info.st_mode & 0o022
            assert machine.first_closed(path, machine.runner) is None
    assert (code / "app.py").stat().st_mode & 0o004
    assert not (code / "key").stat().st_mode & 0o007


def test_the_hook_writes_into_the_release_as_the_runner_with_the_apps_environment(
    project: Project, made: Build, machine: Machine
) -> None:
    text = (
        "import os, json, sys; os.makedirs('static/deep'); "
        "open('static/deep/a.css', 'w').write('x'); os.mkfifo('pipe'); os.symlink('/', 'root'); "
        "json.dump([os.getuid(), dict(os.environ), sys.prefix, os.getcwd()], open('seen', 'w'))"
    )
    built, said = made(project({"app.py": ""}), hook=writer(text), env={"SECRET": "ä b"})
    assert said[-1].startswith("running the build hook")
    uid, env, prefix, cwd = json.loads((built.code / "seen").read_text())
    assert uid == machine.runner.uid
    assert env["SECRET"] == "ä b"
    assert prefix == str(built.venv)
    assert cwd == str(built.code)
    style = built.code / "static" / "deep" / "a.css"
    assert style.stat().st_uid == os.geteuid()
    assert stat.S_IMODE(style.stat().st_mode) == 0o644
    assert stat.S_IMODE(style.parent.stat().st_mode) == 0o755
    assert not (built.code / "pipe").exists()
    assert not (built.code.parents[2] / "project" / "static").exists()


def test_a_hook_that_fails_leaves_nothing_and_its_words_are_told(
    project: Project, made: Build, place: Path
) -> None:
    root = project({"app.py": ""})
    with pytest.raises(HostelError, match="build hook") as caught:
        made(root, hook=writer("print('collecting'); raise SystemExit('no such folder')"))
    assert "collecting" in caught.value.detail
    assert "no such folder" in caught.value.detail
    with pytest.raises(HostelError, match="no program nothing-of-that-name"):
        made(root, hook=("nothing-of-that-name",))
    assert list((place / "state" / "releases").glob("*/")) == []


def test_one_that_was_left_half_made_is_made_again(project: Project, made: Build) -> None:
    root = project({"app.py": ""})
    built, _ = made(root)
    (built.code.parent / release.FACTS).unlink()
    (built.code / "stray").touch()
    assert made(root)[1] != []
    assert not (built.code / "stray").exists()


def test_links_that_a_hook_leaves_lead_nowhere_for_root(
    project: Project, made: Build, place: Path
) -> None:
    (place / "victim").mkdir()
    (place / "victim" / "file").write_text("x")
    (place / "victim" / "file").chmod(0o600)
    text = (
        f"import os; os.symlink({str(place / 'victim')!r}, '__pycache__'); "
        f"os.symlink({str(place / 'victim' / 'file')!r}, 'file')"
    )
    made(project({"app.py": "x = 1\n"}), hook=writer(text))
    info = (place / "victim" / "file").stat()
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert info.st_uid == os.geteuid()
    if os.geteuid() == 0:
        assert [one.name for one in (place / "victim").iterdir()] == ["file"]


def test_data_stay_in_the_project_and_are_named(
    project: Project, made: Build, machine: Machine
) -> None:
    root = project({"app.py": ""})
    with sqlite3.connect(root / "db.sqlite3") as database:
        database.execute("create table t (a)")
    built, _ = made(root, keep=("media", "notes.txt"))
    assert built.kept == ("db.sqlite3", "media", "notes.txt")
    assert (root / "media").is_dir()
    assert (root / "media").stat().st_uid == machine.runner.uid
    assert (built.code / "media").resolve() == root / "media"
    assert made(root, keep=("media", "notes.txt"))[1] == []


def test_pruning_keeps_the_live_one_the_one_before_and_their_environments(
    project: Project, made: Build, machine: Machine, place: Path, wheel: Wheel
) -> None:
    wheel("thing")
    built = []
    for number in range(4):
        needs = "" if number < 3 else "thing\n"
        built.append(made(project({"app.py": f"x = {number}\n", "requirements.txt": needs}))[0])
    releases, venvs = place / "state" / "releases", place / "state" / "venvs"
    assert prune(releases, venvs, built[3], machine) == ()
    assert {one.name for one in releases.glob("*/")} == {built[3].id, built[2].id}
    assert {one.name for one in venvs.glob("*/")} == {built[3].venv.name, built[2].venv.name}
    prune(releases, venvs, built[3], machine, spare=0)
    assert {one.name for one in venvs.glob("*/")} == {built[3].venv.name}


def test_pruning_spares_a_release_that_holds_a_database(
    project: Project, made: Build, machine: Machine, place: Path
) -> None:
    first, _ = made(project({"app.py": "x = 1\n"}))
    path = first.code / "db.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("create table t (a)")
    second, _ = made(project({"app.py": "x = 2\n"}))
    releases, venvs = place / "state" / "releases", place / "state" / "venvs"
    assert prune(releases, venvs, second, machine, spare=0) == (path,)
    assert path.exists()


def test_a_project_that_never_rests_is_given_up(
    project: Project, made: Build, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    root = project({"app.py": "x = 1\n"})
    scan = source.scan

    def restless(*arguments: Any) -> Any:
        tree = scan(*arguments)
        entries = tuple(replace(one, digest="0" * 64) for one in tree.entries)
        return replace(tree, entries=entries)

    monkeypatch.setattr(source, "scan", restless)
    with pytest.raises(HostelError, match="keep changing"):
        made(root)
    assert list((place / "state" / "releases").glob("*/")) == []
