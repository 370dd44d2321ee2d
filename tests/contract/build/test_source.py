"""What of a project gets into a release, and what its digest sees."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
from pathlib import Path

import pytest

from hostel import source
from hostel.errors import HostelError, UsageError
from hostel.machine import Machine
from hostel.source import Tree, Vanished

from .conftest import Project

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def scan(root: Path, keep: tuple[str, ...] = (), state: Path | None = None) -> Tree:
    state = state or root / ".hostel"
    (state / "releases").mkdir(parents=True, exist_ok=True)
    return source.scan(root, Machine(), keep, state)


def copied(root: Path, keep: tuple[str, ...] = ()) -> Path:
    code = root.parent / "code"
    shutil.rmtree(code, ignore_errors=True)
    source.copy(scan(root, keep), code, Machine())
    return code


def names(code: Path) -> set[str]:
    return {
        str(Path(folder, name).relative_to(code))
        for folder, folders, files in os.walk(code)
        for name in (*folders, *files)
    }


def test_caches_editors_secrets_and_environments_stay_out(project: Project) -> None:
    root = project(
        {
            "app.py": "",
            "pkg/__init__.py": "",
            "pkg/__pycache__/x.pyc": "",
            "old.pyc": "",
            ".git/HEAD": "",
            "node_modules/a/b.js": "",
            ".venv/bin/python": "",
            ".env": "S=1",
            ".env.local": "S=2",
            "myenv/pyvenv.cfg": "",
            "myenv/x.py": "",
            "env/settings.py": "",
            "venv/pyvenv.cfg": "",
            ".pytest_cache/x": "",
            ".DS_Store": "",
            "a.swp": "",
            "hostel.toml": "[env]\nS = 1",
            ".gitignore": "static/built.css\n",
            "static/built.css": "",
            "pkg/.env": "S=3",
        }
    )
    assert names(copied(root)) == {
        "app.py",
        "pkg",
        "pkg/__init__.py",
        "env",
        "env/settings.py",
        ".gitignore",
        "static",
        "static/built.css",
    }


def test_the_state_folder_stays_out_under_any_name(project: Project) -> None:
    root = project({"app.py": "", "var/state/secret": "x"})
    tree = scan(root, state=root / "var" / "state")
    assert {entry.path for entry in tree.entries} == {"app.py", "var"}


def test_the_digest_sees_names_contents_and_modes_but_not_times(project: Project) -> None:
    root = project({"app.py": "a", "b.py": "b"})
    first = scan(root).digest
    os.utime(root / "app.py", (1, 1))
    assert scan(root).digest == first
    digests = {first}
    (root / "app.py").write_text("A")
    digests.add(scan(root).digest)
    (root / "app.py").chmod(0o755)
    digests.add(scan(root).digest)
    (root / "app.py").rename(root / "c.py")
    digests.add(scan(root).digest)
    (root / "empty").mkdir()
    digests.add(scan(root).digest)
    assert len(digests) == 5


def test_a_change_that_leaves_size_and_mtime_alone_is_seen(project: Project) -> None:
    root = project({"app.py": "one"})
    old = (root / "app.py").stat().st_mtime_ns - 10**10
    os.utime(root / "app.py", ns=(old, old))
    first = scan(root).digest
    assert scan(root).digest == first
    (root / "app.py").write_text("two")
    os.utime(root / "app.py", ns=(old, old))
    assert scan(root).digest != first


def test_a_damaged_index_is_only_slower(project: Project) -> None:
    root = project({"app.py": "one"})
    first = scan(root).digest
    for text in ("", "[]", "{", '{"files": 3}', '{"files": {"app.py": [1]}}'):
        (root / ".hostel" / "releases" / "index.json").write_text(text)
        assert scan(root).digest == first


def test_modes_are_plain_whatever_the_umask(project: Project, strict_umask: None) -> None:
    root = project({"app.py": "", "run.sh": "", "pkg/a.py": "", "pkg/deep/b.py": ""})
    for path in root.rglob("*"):
        path.chmod(0o777 if path.is_dir() or path.suffix == ".sh" else 0o666)
    code = copied(root)
    assert stat.S_IMODE((code / "app.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((code / "run.sh").stat().st_mode) == 0o755
    assert {stat.S_IMODE(one.stat().st_mode) for one in (code, code / "pkg")} == {0o755}


def test_what_is_closed_to_others_stays_closed(project: Project) -> None:
    root = project({"key.pem": "", "private/inside.txt": "", "open.txt": ""})
    (root / "key.pem").chmod(0o600)
    (root / "private").chmod(0o700)
    code = copied(root)
    closed = ("key.pem", "private", "private/inside.txt")
    assert [(code / name).stat().st_mode & 0o007 for name in closed] == [0, 0, 0]
    assert (code / "open.txt").stat().st_mode & 0o004


def test_links_inside_stay_inside_and_links_out_lead_to_the_same_place(project: Project) -> None:
    root = project({"a/real.txt": "inside", ".env": "S=1"})
    outside = root.parent / "outside.txt"
    outside.write_text("outside")
    links = {
        "rel": "a/real.txt",
        "abs": str(root / "a/real.txt"),
        "a/up": "../a/real.txt",
        "folder": "a",
        "out": "../outside.txt",
        "far": "/etc/hosts",
        "dangling": "nowhere",
        "env": ".env",
        "loop": "loop",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    code = copied(root)
    assert {name: str((code / name).readlink()) for name in links} == {
        "rel": "a/real.txt",
        "abs": "a/real.txt",
        "a/up": "real.txt",
        "folder": "a",
        "out": str(outside),
        "far": "/etc/hosts",
        "dangling": "nowhere",
        "env": str(root / ".env"),
        "loop": "loop",
    }
    assert (code / "abs").resolve() == code / "a" / "real.txt"


def test_databases_and_what_is_to_be_kept_stay_where_they_are(project: Project) -> None:
    root = project({"app.py": "", "media/a.png": "", "empty.sqlite3": "", "notes-wal": "text"})
    with sqlite3.connect(root / "data.bin") as database:
        database.execute("pragma journal_mode=wal")
        database.execute("create table t (a)")
    (root / "data.bin-wal").touch()
    code = copied(root, keep=("media", "later.txt"))
    assert names(code) == {"app.py", "data.bin", "empty.sqlite3", "media", "later.txt", "notes-wal"}
    assert scan(root, ("media", "later.txt")).kept == (
        "data.bin",
        "empty.sqlite3",
        "later.txt",
        "media",
    )
    with sqlite3.connect(code / "data.bin") as database:
        database.execute("insert into t values (7)")
    database.close()
    with sqlite3.connect(root / "data.bin") as database:
        assert database.execute("select a from t").fetchall() == [(7,)]
    (code / "later.txt").write_text("data")
    assert (root / "later.txt").read_text() == "data"


def test_a_database_that_changes_is_no_new_release(project: Project) -> None:
    root = project({"app.py": ""})
    with sqlite3.connect(root / "db.sqlite3") as database:
        database.execute("create table t (a)")
    first = scan(root).digest
    with sqlite3.connect(root / "db.sqlite3") as database:
        database.execute("insert into t values (1)")
    assert scan(root).digest == first


@pytest.mark.parametrize("name", ["../x", "/etc", "a/../../x"])
def test_nothing_outside_the_project_is_kept(project: Project, name: str) -> None:
    with pytest.raises(UsageError, match="leads out"):
        scan(project({"app.py": ""}), keep=(name,))


def test_names_may_hold_anything_a_file_system_allows(project: Project) -> None:
    root = project({"app.py": ""})
    odd = {"new\nline", "ünïcode", os.fsdecode(b"not-\xff-utf8"), "quo'te\"", " ", "-rf", "a" * 255}
    for name in odd:
        (root / name).write_text("x")
    assert names(copied(root)) == {*odd, "app.py"}
    assert scan(root).digest == scan(root).digest


def test_sockets_and_pipes_are_passed_by(project: Project) -> None:
    root = project({"app.py": ""})
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "sock"))
        assert names(copied(root)) == {"app.py"}


def test_deep_trees_are_walked(project: Project) -> None:
    root = project({"/".join(["d"] * 300) + "/app.py": "deep"})
    assert (copied(root) / "/".join(["d"] * 300) / "app.py").read_text() == "deep"


def test_a_file_that_changed_since_the_scan_is_noticed(project: Project) -> None:
    root = project({"app.py": "one", "b.py": ""})
    tree = scan(root)
    (root / "app.py").write_text("two")
    with pytest.raises(Vanished):
        source.copy(tree, root.parent / "one", Machine())
    (root / "app.py").unlink()
    with pytest.raises(Vanished):
        source.copy(tree, root.parent / "two", Machine())


@as_user
def test_a_file_that_cannot_be_read_is_named(project: Project) -> None:
    root = project({"closed.txt": "x"})
    (root / "closed.txt").chmod(0)
    with pytest.raises(HostelError, match=r"closed\.txt"):
        scan(root)


def test_copies_keep_their_times_so_that_browsers_keep_theirs(project: Project) -> None:
    root = project({"style.css": "x"})
    os.utime(root / "style.css", (1_000_000_000, 1_000_000_000))
    assert (copied(root) / "style.css").stat().st_mtime == 1_000_000_000
