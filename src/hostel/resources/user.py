"""System users and their groups: who a site runs as. They have no home of their own, no password
and no shell.
"""

from __future__ import annotations

import grp
import pwd
import time
from dataclasses import dataclass
from pathlib import Path

from hostel import unix_names
from hostel.errors import HostelError
from hostel.machine import Machine, Ran
from hostel.plan import Change, Key, State, key, name_of

NO_SHELL = "/usr/sbin/nologin"
WAIT_FOR_LOCK = 60
"""Seconds that another program, such as an installation, may keep the user database locked."""


@dataclass(frozen=True, kw_only=True)
class UserState(State):
    """A user; `group` is its own group, `groups` are those it is in besides, sorted."""

    home: str
    group: str
    shell: str = NO_SHELL
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, home: str, groups: tuple[str, ...] = ()) -> UserState:
        """As every site's user shall be, with a group of the same name."""
        return cls(home=home, group=name, groups=tuple(sorted(groups)))


def user_key(name: str) -> Key:
    return key("user", name)


class Users:
    """Users whose names begin with `hostel-`; no others are touched."""

    def observe(self, which: Key, machine: Machine) -> UserState | None:
        """A group without its user is half of something: a user with no home and no shell."""
        entry = _entry(name_of(which))
        if entry is None:
            alone = _group(name_of(which))
            return UserState(home="", group=alone.gr_name, shell="") if alone else None
        group = _group(entry.pw_gid)
        groups = {one.gr_name for one in grp.getgrall() if entry.pw_name in one.gr_mem}
        return UserState(
            home=entry.pw_dir,
            group=str(entry.pw_gid) if group is None else group.gr_name,
            shell=entry.pw_shell,
            groups=tuple(sorted(groups)),
        )

    def enact(self, change: Change, machine: Machine) -> None:
        name = name_of(change.key)
        if not unix_names.is_ours(name):
            raise HostelError(f"changing the user {name}", "it is no user that Hostel may make")
        if change.after is None:
            self._remove(name, machine)
            return
        assert isinstance(change.after, UserState)
        _settle_group(name, change.after.group, machine)
        if _entry(name) is None:
            argv = ["useradd", "--system", "--no-create-home", *_options(change.after), name]
        else:
            argv = ["usermod", *_options(change.after), name]
        _run(argv, f"making the user {name}", machine)

    def _remove(self, name: str, machine: Machine) -> None:
        doing = f"removing the user {name}"
        entry = _entry(name)
        if entry is not None:
            _refuse_while_running(entry.pw_uid, doing)
            # Without --remove: what lies in its home is no matter of this kind.
            _run(["userdel", name], doing, machine)
        group = _group(name)
        # userdel removes it, unless USERGROUPS_ENAB is off or a kill came between.
        if group is not None:
            _refuse_with_members(group, doing)
            _run(["groupdel", name], doing, machine)


def processes_of(uid: int) -> list[str]:
    """The processes that run as this user, by any of its numbers: "python3 (pid 12)".

    In a container the same number is another user; such a process has another root folder, by
    which userdel tells it, too.
    """
    import psutil

    found = []
    for process in psutil.process_iter(["uids", "name", "status"]):
        uids = process.info["uids"]
        runs = process.info["status"] != psutil.STATUS_ZOMBIE
        if runs and uids and uid in uids and _has_our_root(process.pid):
            found.append(f"{process.info['name']} (pid {process.pid})")
    return found


def _has_our_root(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/root").samefile("/")
    except OSError:  # It has ended meanwhile.
        return False


def _options(state: UserState) -> list[str]:
    options = ["-d", state.home, "--shell", state.shell, "--gid", state.group]
    return [*options, "--groups", ",".join(state.groups)]


def _settle_group(user: str, name: str, machine: Machine) -> None:
    """Make the user's own group; one that is there already must be nobody else's.

    A killed useradd or userdel leaves either without the other. A user's number for a group that
    is gone is kept: files say it.
    """
    doing = f"making the group {name}"
    if name != user:
        raise HostelError(doing, f"the group of the user {user} has another name")
    entry, group = _entry(user), _group(name)
    if group is None:
        lost = [] if entry is None or _group(entry.pw_gid) else ["--gid", str(entry.pw_gid)]
        _run(["groupadd", "--system", *lost, name], doing, machine)
    elif entry is None:
        _refuse_with_members(group, doing)


def _refuse_with_members(group: grp.struct_group, doing: str) -> None:
    own = (entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group.gr_gid)
    members = sorted({*group.gr_mem, *own} - {group.gr_name})
    if members:
        raise HostelError(
            doing,
            f"others are in the group {group.gr_name}: {', '.join(members)}",
            f"Take them out, or rename it: groupmod --new-name OTHER {group.gr_name}",
        )


def _refuse_while_running(uid: int, doing: str) -> None:
    running = processes_of(uid)
    if running:
        shown = running[:5] + ([f"{len(running) - 5} more"] if len(running) > 5 else [])
        raise HostelError(
            doing,
            f"processes of it still run: {', '.join(shown)}",
            "Stop them, then run the same command again.",
        )


def _run(argv: list[str], doing: str, machine: Machine) -> None:
    ran = machine.run(argv)
    end = time.monotonic() + WAIT_FOR_LOCK
    while _is_locked(ran) and time.monotonic() < end:
        time.sleep(1)
        ran = machine.run(argv)
    if not ran.ok:
        said = ran.tail.splitlines()
        happened = said[-1] if said else f"{argv[0]} ended with {ran.code}"
        remedy = "Install the package passwd." if ran.code == 127 else ""
        raise HostelError(doing, happened, remedy, ran.tail)


def _is_locked(ran: Ran) -> bool:
    return not ran.ok and "cannot lock" in ran.err


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _group(which: int | str) -> grp.struct_group | None:
    try:
        return grp.getgrgid(which) if isinstance(which, int) else grp.getgrnam(which)
    except KeyError:
        return None
