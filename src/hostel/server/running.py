"""Becoming a command of a site: its user, its live release, its environment. Returns never."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from hostel.account import Account
from hostel.errors import UsageError
from hostel.server import generations
from hostel.server.host import Host

PYTHON = "/usr/bin/python3"


def become(name: str, command: tuple[str, ...], host: Host) -> NoReturn:
    """Replace this process by the command, within the limits that a login as that user has.

    Raises UsageError for a site that is not live here.
    """
    places = host.places.site(name)
    live = generations.live_of(places, host.machine)
    account = Account.named(places.user)
    if live is None or account is None:
        raise UsageError(
            f"running a command of {name}",
            "no such site is live here",
            "`hostel status` lists those that are.",
        )
    boot = places.generation(live.number) / "boot.json"
    launcher = host.places.boot / "launch.py"
    argv = [PYTHON, "-I", "-S", str(launcher), str(boot), "--", *command]
    sys.stdout.flush()
    sys.stderr.flush()
    os.umask(0o027)
    os.chdir(Path("/"))
    os.setgroups([account.gid])
    os.setgid(account.gid)
    os.setuid(account.uid)
    os.execve(PYTHON, argv, {"PATH": "/usr/bin:/bin"} | _terminal())


def _terminal() -> dict[str, str]:
    """What a program needs to know of the terminal it is shown on."""
    return {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}
