"""Finding and ending server processes without being fooled by reused pids, zombies or orphans.

Knows processes only, not what they serve.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostel.machine import Machine

if TYPE_CHECKING:
    import psutil


HTTPD_NAMES = ("apache2", "httpd")


@dataclass(frozen=True)
class Identity:
    """A process told apart from a later one with the same pid by the time it began."""

    pid: int
    began: float


def identity(pid: int) -> Identity | None:
    """The living process with this pid; a zombie counts as dead, since pid 1 may not reap."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return Identity(pid, process.create_time())
    return None


def alive(who: Identity | None) -> bool:
    if who is None:
        return False
    now = identity(who.pid)
    return now is not None and abs(now.began - who.began) < 1


def httpds_of(conf: Path, uid: int) -> Iterator[psutil.Process]:
    """Living httpds of this user, parents and children, that were started with this file.

    Whoever merely looks at the file, an editor or a pager, is none of them.
    """
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if is_httpd(process, conf, uid):
                yield process


def is_httpd(process: psutil.Process, conf: Path, uid: int) -> bool:
    import psutil

    words = process.cmdline()
    return (
        str(conf) in words
        and "-DFOREGROUND" in words
        and Path(words[0]).name in HTTPD_NAMES
        and process.uids().effective == uid
        and process.status() != psutil.STATUS_ZOMBIE
    )


def is_ours(who: Identity, conf: Path, uid: int) -> bool:
    """Whether the process is an httpd of this user that was started with this file."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return is_httpd(psutil.Process(who.pid), conf, uid)
    return False


def memory(pid: int) -> int:
    """Proportional memory (PSS) of a process and its descendants in bytes; 0 if not readable."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, AttributeError):
                total += process.memory_full_info().pss
    return total


def wait(condition: Callable[[], bool], seconds: float, step: float = 0.01) -> bool:
    """Poll until the condition holds; False when it still does not after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def end(machine: Machine, who: Identity, gently: signal.Signals, seconds: float) -> None:
    """End a process: ask with `gently`, and after `seconds` with SIGTERM, then SIGKILL."""
    for number, patience in ((gently, seconds), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if not alive(who):
            return
        machine.signal(who.pid, number)
        if wait(lambda: not alive(who), patience):
            return
