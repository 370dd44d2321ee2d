"""The cluster: PostgreSQL's data folder of one site and the three files Hostel writes in it.

Makes it whole or not at all, and never touches data. Whether a server runs on it is another
kind's matter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostel import postmaster
from hostel.errors import HostelError
from hostel.machine import Machine, remedy_for
from hostel.plan import Change, Key, State, key, name_of
from hostel.postgres import Postgres, cluster_major, environment, read_private
from hostel.postgres_conf import SUPERUSER, Settings, digest

INCLUDE = "include 'hostel.conf'"
MAKING = "making the PostgreSQL cluster"


@dataclass(frozen=True, kw_only=True)
class ClusterState(State):
    """The version that made a cluster, and its files' text: undo must be able to write them."""

    major: int
    hba: str
    ident: str
    conf: str

    @classmethod
    def of(cls, major: int, settings: Settings) -> ClusterState:
        return cls(major=major, hba=settings.hba, ident=settings.ident, conf=settings.conf)

    @property
    def settings(self) -> str:
        """The digest that a server carries which has loaded these files."""
        return digest(self.hba, self.ident, self.conf)


def cluster_key(data: Path) -> Key:
    return key("cluster", data)


class Clusters:
    """The one cluster of a site. `find` is asked for PostgreSQL only when one must be made."""

    def __init__(self, find: Callable[[], Postgres]) -> None:
        self.find = find

    def observe(self, which: Key, machine: Machine) -> ClusterState | None:
        data = Path(name_of(which))
        major = cluster_major(data, machine)
        if major is None:
            return None
        conf = _text(data / "hostel.conf", machine)
        included = INCLUDE in _text(data / "postgresql.conf", machine).splitlines()
        return ClusterState(
            major=major,
            hba=_text(data / "pg_hba.conf", machine),
            ident=_text(data / "pg_ident.conf", machine),
            conf=conf if included else "",
        )

    def enact(self, change: Change, machine: Machine) -> None:
        data = Path(name_of(change.key))
        for remains in _remains(data):
            postmaster.end_making(remains, machine)
            machine.remove(remains)
        if change.after is None:
            _remove(data, machine)
            return
        assert isinstance(change.after, ClusterState)
        there = cluster_major(data, machine)
        if there is None:
            self._make(data, change.after, machine)
        elif there == change.after.major:
            _write(data, change.after, machine)
        else:
            raise _other_version(data, there, change.after.major)

    def _make(self, data: Path, state: ClusterState, machine: Machine) -> None:
        postgres = self.find()
        if postgres.major != state.major:
            raise _other_version(data, state.major, postgres.major)
        if not data.parent.is_dir():
            machine.make_folder(data.parent, 0o755)
        # A name of its own: an initdb orphaned by a kill removes what lies under its name.
        new = data.with_name(f"{data.name}.new-{secrets.token_hex(4)}")
        machine.make_folder(new, 0o700, machine.runner)
        try:
            _initdb(postgres, new, machine)
            _write(new, state, machine)
            _rename(new, data)
        except BaseException:
            with contextlib.suppress(HostelError):
                machine.remove(new)
            raise


def _initdb(postgres: Postgres, new: Path, machine: Machine) -> None:
    closed = machine.first_closed(new, machine.runner)
    if closed is not None:
        raise HostelError(
            MAKING,
            f"the user {machine.runner.name}, as whom PostgreSQL runs, cannot enter {closed}",
            f"Give a folder it can enter with --dir, or: chmod o+x {closed}",
        )
    argv = [postgres.program("initdb"), "-D", str(new), f"--username={SUPERUSER}"]
    argv += ["--auth-local=peer", "--auth-host=reject", "--encoding=UTF8", "--data-checksums"]
    argv += ["--no-instructions", *locale_options(postgres.major, sys.platform)]
    # It syncs by itself, in 0.1 s of 0.5: leaving that out would risk the data for nothing.
    ran = machine.run(argv, env=environment(), cwd=new, as_runner=True)
    if not ran.ok:
        decisive = re.search(r"(?:error|FATAL|PANIC):\s+(.*)", ran.tail)
        said = decisive[1] if decisive else f"initdb ended with {ran.code}"
        raise HostelError(MAKING, said, _remedy(ran.tail), ran.tail)


def locale_options(major: int, platform: str) -> list[str]:
    """UTF-8 that sorts by code point, the same on every machine and after every upgrade."""
    # macOS has no C.UTF-8; there its own locale says only what a letter is.
    libc = (
        ["--locale=C", "--lc-ctype=en_US.UTF-8"] if platform == "darwin" else ["--locale=C.UTF-8"]
    )
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    return [*libc, *builtin]


def _write(data: Path, state: ClusterState, machine: Machine) -> None:
    texts = {"pg_hba.conf": state.hba, "pg_ident.conf": state.ident, "hostel.conf": state.conf}
    for name, text in texts.items():
        machine.write(data / name, text.encode(), 0o600, machine.runner)
    main = _text(data / "postgresql.conf", machine)
    if INCLUDE not in main.splitlines():
        added = f"{main.rstrip()}\n\n# Hostel's settings; the last word is theirs.\n{INCLUDE}\n"
        machine.write(data / "postgresql.conf", added.encode(), 0o600, machine.runner)


def _rename(old: Path, new: Path) -> None:
    """The moment from which there is a cluster, or none; on disk before anything follows."""
    try:
        old.rename(new)
        folder = os.open(new.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            happened = f"{new} is there already, and is no cluster"
            raise HostelError(MAKING, happened, "See what is in it, and move it away.") from error
        happened = error.strerror or str(error)
        raise HostelError(f"renaming {old}", happened, remedy_for(error)) from error


def _remove(data: Path, machine: Machine) -> None:
    """Remove a cluster; a folder that is none was never made here and stays."""
    if cluster_major(data, machine) is None:
        return
    # Out of the way first, so that a kill in between leaves no cluster with parts missing.
    gone = data.with_name(f"{data.name}.gone-{secrets.token_hex(4)}")
    _rename(data, gone)
    machine.remove(gone)


def _remains(data: Path) -> list[Path]:
    """What killed runs left half-made or half-removed."""
    if not data.parent.is_dir():
        return []
    starts = (f"{data.name}.new-", f"{data.name}.gone-")
    return [path for path in data.parent.iterdir() if path.name.startswith(starts)]


def _text(path: Path, machine: Machine) -> str:
    return (read_private(path, machine) or b"").decode(errors="replace")


def _other_version(data: Path, there: int, wanted: int) -> HostelError:
    return HostelError(
        "settling the PostgreSQL cluster",
        f"{data} is of PostgreSQL {there}, not {wanted}, and no version reads another's data",
        f"Use PostgreSQL {there}. To change the version, dump the data with it, move the folder "
        "away, and load them into the new cluster.",
    )


def _remedy(said: str) -> str:
    if "No space left on device" in said:
        return remedy_for(OSError(errno.ENOSPC, ""))
    return "The lines above are initdb's own."
