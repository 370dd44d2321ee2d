"""Which changes are worth a reload, and that they are noticed on a real file system."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.watch import changes, matters


@pytest.mark.parametrize(
    "name",
    ["app.py", "hostel.toml", ".env", ".env.local", "requirements.txt", "uv.lock", "pyproject.toml",
     "templates/index.html", "static/style.css", "pkg/env/settings.py", ".python-version",
     "database.py", "my.db.py", "venv.py", "logs.py"],
)  # fmt: skip
def test_what_makes_the_site_matters(name: str, tmp_path: Path) -> None:
    assert matters(tmp_path / name, tmp_path)


@pytest.mark.parametrize(
    "name",
    [".git/index", ".hostel/log/access.log", "__pycache__/app.cpython-311.pyc", ".venv/bin/python",
     "web/node_modules/a/index.js", ".app.py.swp", "app.py~", ".#app.py", "#app.py#", "4913",
     "db.sqlite3", "db.sqlite3-journal", "db.sqlite3-wal", "data.db-shm", "app.log", ".git",
     "app.egg-info/PKG-INFO", ".mypy_cache/x.json", "app.py___jb_tmp___"],
)  # fmt: skip
def test_what_running_and_editing_leave_behind_does_not(name: str, tmp_path: Path) -> None:
    assert not matters(tmp_path / name, tmp_path)


def test_a_virtual_environment_of_any_name_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "py3").mkdir()
    (tmp_path / "py3" / "pyvenv.cfg").touch()
    assert not matters(tmp_path / "py3" / "lib" / "x.py", tmp_path)


def test_a_project_inside_an_ignored_folder_matters_all_the_same(tmp_path: Path) -> None:
    root = tmp_path / "node_modules" / ".venv"
    assert matters(root / "app.py", root)


def test_what_lies_outside_does_not_matter(tmp_path: Path) -> None:
    assert not matters(tmp_path / "other" / "app.py", tmp_path / "root")


Next = Callable[[], set[Path]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my site"
    (root / ".state").mkdir(parents=True)
    (root / "app.py").write_text("1")
    return root


@pytest.fixture
def watched(root: Path) -> Iterator[Next]:
    """The next set of changes below `root`; watching has begun when this is handed out."""
    stop, found, begun = threading.Event(), queue.Queue[set[Path]](), root / "begin.py"

    def watch() -> None:
        for paths in changes(root, root / ".state", stop, lambda path: path.name == "no.txt"):
            found.put(paths)

    thread = threading.Thread(target=watch)
    thread.start()
    for number in range(200):
        begun.write_text(str(number))
        try:
            found.get(timeout=0.3)
            break
        except queue.Empty:
            continue

    def after() -> set[Path]:
        # The last writes above may come in a set of their own.
        while (paths := found.get(timeout=30)) == {begun}:
            pass
        return paths - {begun}

    yield after
    stop.set()
    thread.join(30)


def test_an_edited_file_is_noticed(root: Path, watched: Next) -> None:
    (root / "app.py").write_text("2")
    assert watched() == {root / "app.py"}


def test_the_environment_and_the_site_file_are_watched(root: Path, watched: Next) -> None:
    for name in (".env", "hostel.toml", "requirements.txt"):
        (root / name).write_text("A=1\n")
        assert root / name in watched()


def test_a_file_saved_by_renaming_is_noticed(root: Path, watched: Next) -> None:
    (root / "app.py~").write_text("3")
    (root / "app.py~").rename(root / "app.py")
    assert watched() == {root / "app.py"}


def test_noise_is_not_noticed(root: Path, watched: Next) -> None:
    (root / ".state" / "access.log").write_text("x")
    (root / ".state" / "conf.py").write_text("x")
    (root / "no.txt").write_text("x")
    (root / "db.sqlite3").write_text("x")
    (root / "last.py").write_text("x")
    assert watched() == {root / "last.py"}


def test_a_new_folder_is_watched_too(root: Path, watched: Next) -> None:
    (root / "pkg").mkdir()
    assert root / "pkg" in watched()
    (root / "pkg" / "mod.py").write_text("x")
    assert root / "pkg" / "mod.py" in watched()


def test_a_removed_file_is_noticed(root: Path, watched: Next) -> None:
    (root / "app.py").unlink()
    assert watched() == {root / "app.py"}


def test_watching_ends_when_asked_to_though_nothing_happens(root: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert list(changes(root, root / ".state", stop)) == []
    shutil.rmtree(root)
