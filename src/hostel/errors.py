"""What can go wrong, as a person should read it.

Every error says what was being done, what happened and what to do next, and carries the exit
code of the process. Nothing here prints; the command line does.
"""

from __future__ import annotations


class HostelError(Exception):
    """A failure with a remedy. Exit code 1.

    `doing` completes "while ...", `happened` is one line (the server's own where there is one),
    `remedy` an instruction; `detail` holds lines to show below, such as a traceback.
    """

    exit_code = 1

    def __init__(self, doing: str, happened: str, remedy: str = "", detail: str = "") -> None:
        super().__init__(f"{doing}: {happened}")
        self.doing = doing
        self.happened = happened
        self.remedy = remedy
        self.detail = detail


class UsageError(HostelError):
    """A command line or a site file that cannot be acted on. Exit code 2."""

    exit_code = 2


class RolledBack(HostelError):
    """The change failed and was undone; what ran before runs still. Exit code 4."""

    exit_code = 4


class HalfUndone(HostelError):
    """The change failed, and so did undoing it: the next run goes on with that. Exit code 1."""


class Busy(HostelError):
    """Another run holds the lock, or the site is up already. Exit code 5."""

    exit_code = 5
