"""Users of the operating system, by the numbers the kernel knows. Reads the user database only."""

from __future__ import annotations

import contextlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """A user of the operating system, by the numbers the kernel knows."""

    name: str
    uid: int
    gid: int
    home: Path

    @classmethod
    def current(cls) -> Account:
        """Who we are; a number without a name, as containers have them, is called by it."""
        with contextlib.suppress(KeyError):
            return cls.of(pwd.getpwuid(os.geteuid()))
        home = Path(os.environ.get("HOME", "/"))
        return cls(str(os.geteuid()), os.geteuid(), os.getegid(), home)

    @classmethod
    def named(cls, name: str) -> Account | None:
        with contextlib.suppress(KeyError):
            return cls.of(pwd.getpwnam(name))
        return None

    @classmethod
    def of(cls, entry: pwd.struct_passwd) -> Account:
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
