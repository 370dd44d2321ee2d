"""Users of the operating system, by the numbers the kernel knows. Reads the user database only."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """A user of the operating system, by the numbers the kernel knows.

    `owner` is what the files it makes are seen to belong to, see `owner_of`.
    """

    name: str
    uid: int
    gid: int
    home: Path
    owner: str = ""

    def __post_init__(self) -> None:
        if not self.owner:
            object.__setattr__(self, "owner", f"{self.uid}:{self.gid}")

    @classmethod
    def current(cls) -> Account:
        """Who we are; a number without a name, as containers have them, is called by it."""
        with contextlib.suppress(KeyError):
            return cls.of(pwd.getpwuid(os.geteuid()))
        home = Path(os.environ.get("HOME", "/"))
        uid, gid = os.geteuid(), os.getegid()
        return cls(str(uid), uid, gid, home, owner_of(uid, gid))

    @classmethod
    def named(cls, name: str) -> Account | None:
        with contextlib.suppress(KeyError):
            return cls.of(pwd.getpwnam(name))
        return None

    @classmethod
    def of(cls, entry: pwd.struct_passwd) -> Account:
        uid, gid = entry.pw_uid, entry.pw_gid
        return cls(entry.pw_name, uid, gid, Path(entry.pw_dir), owner_of(uid, gid))


def owner_of(uid: int, gid: int) -> str:
    """`user:group`, each as the name that the system has for it first, or else as its number.

    Names can be planned before the user is made; and two names of one number are the same owner.
    """
    user, group = str(uid), str(gid)
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(gid).gr_name
    return f"{user}:{group}"


def numbers_of(owner: str) -> tuple[int, int]:
    """The user's and the group's number of `user:group`; LookupError says which is not there."""
    user, _, group = owner.partition(":")
    try:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise LookupError(f"there is no user {user}") from error
    try:
        return uid, int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise LookupError(f"there is no group {group}") from error
