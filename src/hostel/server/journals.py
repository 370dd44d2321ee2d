"""What workers and jobs of a site wrote: into the journal, which journalctl shows. Returns never.

An instance writes into the site's own logs instead; those are `hostel.log_history`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import NoReturn

from hostel.errors import UsageError
from hostel.platforms.debian import SitePlaces

JOURNALCTL = "/usr/bin/journalctl"


def show(
    places: SitePlaces, task: str, *, follow: bool, lines: int | None, since: float | None
) -> NoReturn:
    """Become journalctl, for the units of the worker or job `task` in all generations kept.

    Raises UsageError where the site has none of that name.
    """
    found = units_of(places.name, task, os.listdir(places.server.units))  # noqa: PTH208
    if not found:
        raise UsageError(
            f"looking for the worker {task}",
            f"{places.name} has no worker or job of that name on this server",
            f"See what it has: systemctl list-units 'hostel-*@{places.name}*'",
        )
    argv = ["journalctl", "--output=short-iso", "--no-hostname", "--no-pager", "--quiet"]
    argv += [f"--unit={unit}" for unit in found]
    argv += ["--follow"] if follow else []
    argv += [f"--lines={lines}"] if lines is not None else []
    argv += [f"--since=@{since:.0f}"] if since is not None else []
    sys.stdout.flush()
    os.execv(JOURNALCTL, argv)


def units_of(site: str, task: str, files: Iterable[str]) -> list[str]:
    """The units of a worker or job, of any generation, among the names of unit files."""
    ours = re.compile(
        rf"hostel-(?:worker@{re.escape(site)}-[0-9]+\.{re.escape(task)}\.[0-9]+"
        rf"|cron@{re.escape(site)}\.{re.escape(task)})\.service"
    )
    return sorted(name for name in files if ours.fullmatch(name))
