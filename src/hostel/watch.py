"""Which changes of files are worth a reload, and waiting for them. Reads only.

What is left out are files that running an app or editing it writes by itself, and trees that are
no part of a site. That a change is one of content, and no mere touch, a release's digest shows.
"""

from __future__ import annotations

import fnmatch
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from hostel.errors import HostelError

DEBOUNCE_MS = 200

FOLDERS = frozenset(
    (
        *(".git", ".hg", ".svn", ".bzr", ".jj", ".hostel", ".idea", ".vscode", ".direnv"),
        *("__pycache__", ".venv", ".tox", ".nox", ".eggs", "node_modules"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "htmlcov"),
    )
)

FILES = (
    # Editors: vi, Emacs, JetBrains, GNOME, Kate, and the file vi makes to see whether it may.
    *("*.swp", "*.swo", "*.swx", "*~", ".#*", "#*#", "4913", "*___jb_tmp___", "*___jb_old___"),
    *(".goutputstream-*", "*.kate-swp", ".DS_Store"),
    # Python and coverage.
    *("*.pyc", "*.pyo", "*.pyc.*", ".coverage", ".coverage.*"),
    # What apps write while they run.
    *("*.log", "*.pid", "*.sock", "*.sqlite", "*.sqlite3", "*.db", "*.db3"),
    *("*-journal", "*-wal", "*-shm"),
)
_FILES = re.compile("|".join(fnmatch.translate(pattern) for pattern in FILES))


def changes(
    root: Path,
    state: Path,
    stop: threading.Event,
    ignored: Callable[[Path], bool] = lambda _path: False,
) -> Iterator[set[Path]]:
    """Sets of paths below `root` that changed together, until `stop` is set.

    Leaves out the `state` folder, whatever `ignored` names, and what `matters` does not count.
    Raises HostelError where the system cannot watch.
    """
    import watchfiles

    root, state = root.resolve(), state.resolve()

    def wanted(_change: watchfiles.Change, name: str) -> bool:
        path = Path(name)
        return not path.is_relative_to(state) and matters(path, root) and not ignored(path)

    try:
        for found in watchfiles.watch(
            root,
            watch_filter=wanted,
            debounce=DEBOUNCE_MS,
            step=50,
            stop_event=stop,
            rust_timeout=500,
            raise_interrupt=False,
        ):
            yield {Path(name) for _, name in found}
    except (OSError, RuntimeError) as error:
        raise HostelError(
            f"watching {root} for changes",
            getattr(error, "strerror", None) or str(error),
            "If there are too many files to watch: sudo sysctl fs.inotify.max_user_watches=524288; "
            "or set WATCHFILES_FORCE_POLLING=1.",
        ) from error


def matters(path: Path, root: Path) -> bool:
    """Whether a change of this file can change the site; only what lies below `root` does."""
    try:
        *folders, name = path.relative_to(root).parts
    except ValueError:
        return False
    if any(folder in FOLDERS or folder.endswith(".egg-info") for folder in folders):
        return False
    if name in FOLDERS or _FILES.match(name):
        return False
    return not _in_venv(path, root)


def _in_venv(path: Path, root: Path) -> bool:
    """Whether a virtual environment of any name holds it: its pyvenv.cfg says so."""
    above = path.parents[: len(path.relative_to(root).parts)]
    return any(os.path.lexists(folder / "pyvenv.cfg") for folder in above if folder != root)
