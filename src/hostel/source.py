"""The code of a project as it is now: what belongs to it, its digest, and a copy of it.

Reads the project and writes the copy; changes nothing in the project. What a release leaves out
is written down here (LEFT_OUT); .gitignore is not read, since it lists built files that a
release needs.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from hashlib import sha256
from pathlib import Path, PurePosixPath

from hostel.errors import HostelError, UsageError
from hostel.fileindex import FileIndex
from hostel.machine import Machine, remedy_for

FORMAT = 1
NAMES_LEFT_OUT = (
    *(".git", ".hg", ".svn", ".hostel", ".venv", "node_modules", "__pycache__", "*.pyc"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".nox", ".idea", ".vscode"),
    *(".env", ".env.*", "*.swp", ".DS_Store", "hostel.toml", "*.log", "*.pid", "nohup.out"),
)
"""Names that are no part of a release, wherever they lie: caches, editors' files, logs, and what
holds secrets. A folder with a pyvenv.cfg is left out under any name."""

LEFT_OUT = re.compile("|".join(translate(name) for name in NAMES_LEFT_OUT))
COMPANIONS = ("-wal", "-shm", "-journal")
EMPTY_DATABASE = (".sqlite", ".sqlite3", ".db")
SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Entry:
    """One file, folder or link of the project, by its path inside it.

    `target` is what a link says, `digest` what a file holds. `private` files are closed to others
    in the project, and stay so in its copy.
    """

    path: str
    kind: str
    digest: str = ""
    target: str = ""
    executable: bool = False
    private: bool = False


@dataclass(frozen=True)
class Tree:
    """A project's code at one moment. `kept` are paths that stay where they are: data."""

    root: Path
    entries: tuple[Entry, ...]
    kept: tuple[str, ...]
    digest: str


class Vanished(Exception):
    """A file changed or went away while it was read."""


def check_kept(root: Path, keep: tuple[str, ...]) -> None:
    """Raise UsageError for a name to be kept that leads out of the project, by itself or a link."""
    for name in keep:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UsageError(
                "reading what is to be kept",
                f'"{name}" leads out of the project',
                "Name paths inside the project; what lies elsewhere stays as it is anyway.",
            )
        through = next((up for up in PurePosixPath(name).parents if (root / up).is_symlink()), None)
        if through is not None and str(through) != ".":
            raise UsageError(
                "reading what is to be kept",
                f'"{name}" goes through the link {through}',
                "Name the path it leads to, if that is inside the project.",
            )


def scan(root: Path, machine: Machine, keep: tuple[str, ...], state: Path) -> Tree:
    """Read the project; what an index in `state`/releases knows to be unchanged is not read again.

    Raises HostelError naming a file that cannot be read.
    """
    root = root.resolve()
    check_kept(root, keep)
    index = FileIndex(state / "releases" / "index.json", machine)
    with machine.eyes_of_owner(root):
        entries = _settled(root, _Walk(root, keep, state.resolve(), index))
    index.save()
    kept = tuple(entry.path for entry in entries if entry.kind == "kept")
    hashed = sha256(f"hostel source {FORMAT}\0".encode())
    for entry in entries:
        hashed.update(repr(entry).encode("utf-8", "surrogateescape"))
    return Tree(root, entries, kept, hashed.hexdigest())


def _settled(root: Path, walk: _Walk) -> tuple[Entry, ...]:
    """Walk once more if a file vanished the first time; editors replace files all the time."""
    for last in (False, True):
        try:
            return tuple(sorted(walk.entries(), key=lambda entry: entry.path))
        except FileNotFoundError as error:
            if last or not root.is_dir():
                raise _cannot_read(root, error) from error
        except OSError as error:
            raise _cannot_read(root, error) from error
    raise AssertionError


def _cannot_read(root: Path, error: OSError) -> HostelError:
    where = str(error.filename or root)
    return HostelError(
        "reading the project",
        f"{where}: {error.strerror}",
        "Make it readable for you, or move it out of the project."
        if isinstance(error, PermissionError)
        else "Run this again when the project's files are at rest.",
    )


class _Walk:
    """One reading of a project's folders."""

    def __init__(self, root: Path, keep: tuple[str, ...], state: Path, index: FileIndex) -> None:
        self.root = root
        self.keep = {str(PurePosixPath(name)) for name in keep}
        self.state = state
        self.index = index

    def entries(self) -> Iterator[Entry]:
        """Everything that belongs to the release; kept paths that are not there yet as well."""
        found: set[str] = set()
        folders = [("", False)]
        while folders:
            folder, private = folders.pop()
            for item in self._listed(folder):
                path = f"{folder}/{item.name}" if folder else item.name
                entry = self._entry(item, path, private)
                if entry is None:
                    continue
                found.add(path)
                if entry.kind == "folder":
                    folders.append((path, entry.private))
                yield entry
        for path in self.keep - found:
            if not any(str(above) in self.keep for above in PurePosixPath(path).parents):
                yield Entry(path, "kept")

    def _listed(self, folder: str) -> list[os.DirEntry[str]]:
        with os.scandir(self.root / folder) as listing:
            return list(listing)

    def _entry(self, item: os.DirEntry[str], path: str, private: bool) -> Entry | None:
        if path in self.keep:
            return Entry(path, "kept")
        if LEFT_OUT.match(item.name):
            return None
        if item.is_symlink():
            return Entry(path, "link", target=self._target(item))
        info = item.stat(follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            if self._is_foreign(Path(item.path)):
                return None
            return Entry(path, "folder", private=private or not info.st_mode & 0o001)
        if not stat.S_ISREG(info.st_mode):
            return None  # Sockets, pipes and devices are no code.
        if item.name.endswith(COMPANIONS) and is_database(Path(item.path.rpartition("-")[0])):
            return None
        digest, begins = self.index.digest(path, Path(item.path), info)
        empty = info.st_size == 0 and item.name.endswith(EMPTY_DATABASE)
        if begins == SQLITE or empty:
            return Entry(path, "kept")
        return Entry(
            path,
            "file",
            digest=digest,
            executable=bool(info.st_mode & 0o100),
            private=private or not info.st_mode & 0o004,
        )

    def _is_foreign(self, folder: Path) -> bool:
        return folder == self.state or (folder / "pyvenv.cfg").exists()

    def _target(self, item: os.DirEntry[str]) -> str:
        """What the copied link says.

        A link that stays inside the project is made relative, so that it stays inside the copy.
        One that leads out of it leads to the same place: it is read with the runner's own
        rights, not with those of whoever makes the release.
        """
        here = Path(item.path).parent
        said = Path(os.readlink(item.path))  # noqa: PTH115 - keeps bytes that are no UTF-8
        goal = Path(os.path.normpath(here / said))
        if not goal.is_relative_to(self.root) or self._left_out(goal):
            return str(goal)
        return os.path.relpath(goal, here)

    def _left_out(self, goal: Path) -> bool:
        """Whether something above or at `goal` is no part of the release."""
        inside = goal.relative_to(self.root)
        for part in (*inside.parents, inside):
            name = part.name
            if name and LEFT_OUT.match(name):
                return True
            if name and self._is_foreign(self.root / part):
                return True
        return False


def is_database(path: Path) -> bool:
    """Whether this is an SQLite database, by how it begins."""
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE)) == SQLITE
    except OSError:
        return False


def copy(tree: Tree, code: Path, machine: Machine, kept_in: Path | None = None) -> None:
    """Write the release's code into the new folder `code`, as the scan saw it.

    What is kept becomes a link to where it lies: below `kept_in`, or else in the project. Raises
    Vanished when the project is another by now.
    """
    data = kept_in or tree.root
    code.mkdir(mode=0o755)
    code.chmod(0o755)
    for entry in tree.entries:
        target, origin = code / entry.path, tree.root / entry.path
        try:
            if entry.kind == "folder":
                target.mkdir()
                target.chmod(mode_of(0o755, entry.private))
            elif entry.kind == "file":
                _copy_file(origin, target, entry, tree.root, machine)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(entry.target if entry.kind == "link" else data / entry.path)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not origin.exists():
                raise Vanished(entry.path) from error
            raise HostelError(
                f"copying {entry.path} to {code}",
                error.strerror or str(error),
                remedy_for(error),
            ) from error


def _copy_file(origin: Path, target: Path, entry: Entry, root: Path, machine: Machine) -> None:
    hashed = sha256()
    mode = mode_of(0o755 if entry.executable else 0o644, entry.private)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out, contextlib.ExitStack() as stack:
        with machine.eyes_of_owner(root):
            source = stack.enter_context(origin.open("rb"))
        while block := source.read(1 << 20):
            hashed.update(block)
            out.write(block)
        out.flush()
        os.fchmod(descriptor, mode)
        info = os.fstat(source.fileno())
        os.utime(descriptor, ns=(info.st_atime_ns, info.st_mtime_ns))
    if hashed.hexdigest() != entry.digest:
        raise Vanished(entry.path)


def mode_of(mode: int, private: bool) -> int:
    """The mode of a copy: open to all, or to nobody but the owner and the runner's group."""
    return mode & 0o750 if private else mode
