"""The working tree, copied into a machine: standard library only, as the keeper uses it."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

CACHES = ".hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache __pycache__"
LEFT_OUT = frozenset((".git", ".venv", ".hostel", "dist", *CACHES.split()))


def mirror(source: Path, target: Path) -> None:
    """Make `target` the same as `source`, owned by root and readable to all.

    Only what differs is written. Compiled files in the target stay: Python compares them with
    their source, and does so by what is kept here, the time of change and the size.
    """
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    with os.scandir(source) as entries:
        wanted = {entry.name: entry for entry in entries if entry.name not in LEFT_OUT}
    for old in list(target.iterdir()):
        if old.name not in wanted and old.name not in LEFT_OUT:
            _remove(old)
    for name, entry in wanted.items():
        new = target / name
        if entry.is_dir(follow_symlinks=False):
            if new.is_symlink() or new.is_file():
                new.unlink()
            mirror(Path(entry.path), new)
        elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
            # Somebody may be editing: what is gone by now is not copied.
            with contextlib.suppress(FileNotFoundError):
                _copy(Path(entry.path), new)


def _copy(old: Path, new: Path) -> None:
    here = old.lstat()
    if os.path.lexists(new):
        there = new.lstat()
        same = (here.st_size, int(here.st_mtime)) == (there.st_size, int(there.st_mtime))
        if same and old.is_symlink() == new.is_symlink():
            return
        _remove(new)
    shutil.copy2(old, new, follow_symlinks=False)
    os.chown(new, 0, 0, follow_symlinks=False)
    if not new.is_symlink():
        new.chmod(0o755 if here.st_mode & 0o100 else 0o644)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
