"""The store of a site: the values that `hostel env set` keeps on a server, over `[env]` and `.env`.

Loads it, saves it atomically and lays it over the other two; knows who may. It belongs to root
alone, and no value of it ever gets into a message, a log or the repr of an object. Prints nothing
and makes nothing live.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hostel.errors import HostelError, UsageError
from hostel.machine import Machine
from hostel.site_values import env_name, env_value, shown

LONGEST = 131_072
"""Bytes of NAME=value with the NUL after it; Linux starts no program with a longer one."""

Origin = Literal["[env]", ".env", "store"]
Change = Callable[[Mapping[str, str]], Mapping[str, str]]


@dataclass(frozen=True)
class Store:
    """The variables that are kept for a site. Not in its repr, since any may be a secret."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Entry:
    """A variable as the app gets it, which source it comes from, and which others it hides."""

    name: str
    value: str = field(repr=False)
    origin: Origin
    over: tuple[Origin, ...] = ()


@dataclass(frozen=True)
class Live:
    """What the live generation of a site runs with.

    `environ` is all of its app's os.environ, `given` what that would be without `[env]`, `.env`
    and store; `root` is the folder of the project that it was made from.
    """

    root: Path
    environ: Mapping[str, str] = field(repr=False)
    given: Mapping[str, str] = field(repr=False)


def layered(
    site_env: Mapping[str, str], dotenv: Mapping[str, str], store: Mapping[str, str]
) -> list[Entry]:
    """The variables in order of their names: the store wins over `.env`, `.env` over `[env]`."""
    sources: tuple[tuple[Origin, Mapping[str, str]], ...] = (
        ("store", store),
        (".env", dotenv),
        ("[env]", site_env),
    )
    entries = []
    for name in sorted({*site_env, *dotenv, *store}):
        first, *others = ((origin, values) for origin, values in sources if name in values)
        over = tuple(origin for origin, _ in others)
        entries.append(Entry(name, first[1][name], first[0], over))
    return entries


def checked(name: str, value: str) -> str:
    """The value, if a variable of that name can hold it. Raises UsageError without the value."""
    try:
        env_name(name)
        name.encode()
        env_value(value)
        size = len(f"{name}={value}".encode()) + 1
    except UnicodeEncodeError:
        raise _refused(name, "it cannot be written as UTF-8") from None
    except ValueError as error:
        raise _refused(name, f"it {error}") from None
    if size > LONGEST:
        problem = "it is longer than 128 KB, with which no program can be started"
        raise _refused(name, problem, "Keep it in a file of the site's, and say where it is.")
    return value


def load(path: Path) -> Store:
    """What is kept at `path`; nothing where there is no file.

    Raises HostelError where it is damaged, or open to others than its owner.
    """
    data = _read(path)
    if data is None:
        return Store()
    try:
        found: Any = json.loads(data)
        values = found["values"]
        kept = {name: checked(name, value) for name, value in values.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError):
        raise HostelError(
            f"reading {path}",
            "it is damaged: this is not what `hostel env` writes",
            f"Put it back from a backup; or remove it (rm {path}) and set the variables anew.",
        ) from None
    return Store(kept)


def save(path: Path, store: Store, machine: Machine) -> None:
    """Put the store at `path`, whole or not at all, readable for its owner alone."""
    kept = {name: checked(name, store.values[name]) for name in sorted(store.values)}
    text = json.dumps({"version": 1, "values": kept}, indent=1, ensure_ascii=False)
    machine.make_folder(path.parent, 0o700)
    machine.write(path, f"{text}\n".encode(), 0o600)


def update(path: Path, change: Change, machine: Machine) -> tuple[Store, Store]:
    """Change what is kept, with other runs kept out meanwhile; the stores before and after."""
    machine.make_folder(path.parent, 0o700)
    with _alone(path.parent):
        before = load(path)
        after = Store(dict(change(before.values)))
        if after.values != before.values:
            save(path, after, machine)
    return before, after


def may_keep(path: Path) -> bool:
    """Whether we may write there, and so may be asked for what is to be kept."""
    with contextlib.suppress(PermissionError):
        for folder in path.parents:
            if folder.exists():
                return os.access(folder, os.W_OK | os.X_OK)
    return False


# -- within ------------------------------------------------------------------------------------


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise HostelError(
            f"reading {path}",
            "only root may read it",
            "Run the same command with sudo.",
        ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _open(path, "it is a link, which Hostel did not make", f"rm {path}") from None
        raise HostelError(f"reading {path}", error.strerror or str(error)) from error
    try:
        _closed_to_others(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _closed_to_others(path: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise _open(path, "it is no plain file, and Hostel did not make it", f"rm -r {path}")
    if info.st_uid not in (0, os.geteuid()):
        raise _open(path, "it belongs to another user", f"chown root: {path}")
    if info.st_mode & 0o077:
        raise _open(
            path,
            f"others may read or change it (mode {stat.S_IMODE(info.st_mode):04o})",
            f"chmod 600 {path}",
            "and set anew what has been open to them",
        )
    folder = path.parent.stat()
    if folder.st_uid not in (0, os.geteuid()) or folder.st_mode & 0o022:
        raise _open(
            path,
            f"others than root may exchange it: {path.parent} is open to them",
            f"chown root: {path.parent} && chmod 700 {path.parent}",
        )


def _open(path: Path, happened: str, command: str, more: str = "") -> HostelError:
    remedy = f"See what it is and who did that; then: {command}"
    return HostelError(f"reading {path}", happened, f"{remedy}, {more}." if more else remedy)


def _refused(name: str, problem: str, remedy: str = "") -> UsageError:
    return UsageError(f"checking the variable {shown(name)}", problem, remedy)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
