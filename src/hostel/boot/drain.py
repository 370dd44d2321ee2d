"""Ends an instance with nothing lost, as the ExecStop of its unit; httpd's pid is in MAINPID.

Run as `drain.py FLAG IDLE_SECONDS STOP_SECONDS PORT...` by the system's Python, as the site's
user: ends keep-alive, waits for idle connections, then lets httpd end what is in flight. A
machine that goes down waits for neither longer than a moment. Standard library only; kills
nothing: what is left is systemd's.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

AT_SHUTDOWN = 20.0
"""Seconds that requests in flight still have once the machine is going down."""

CLOSED_OR_CLOSING = frozenset(("04", "05", "06", "07", "09", "0A", "0B"))
"""States in /proc/net/tcp of sockets in which no request can come or be answered any more."""

TABLES = ("/proc/self/net/tcp", "/proc/self/net/tcp6")


def main(flag: str, idle: float, grace: float, ports: frozenset[int]) -> None:
    try:
        httpd = os.pidfd_open(int(os.environ.get("MAINPID") or 0))
    except (OSError, ValueError):
        return  # It has ended already.
    if not going_down():
        os.close(os.open(flag, os.O_WRONLY | os.O_CREAT, 0o640))
        wait_for_idle(httpd, time.monotonic() + idle, ports)
    try:
        # httpd's `graceful-stop`: it closes its sockets and ends when all requests have.
        signal.pidfd_send_signal(httpd, signal.SIGWINCH)
    except ProcessLookupError:
        return
    wait_for_requests(httpd, time.monotonic() + grace)


def wait_for_idle(httpd: int, end: float, ports: frozenset[int]) -> None:
    """Until no connection is open, seen twice: what was on its way here has arrived then."""
    quiet = 0
    while quiet < 2 and time.monotonic() < end and not ended(httpd, 0.2):
        quiet = 0 if connections(ports) else quiet + 1


def wait_for_requests(httpd: int, end: float) -> None:
    while time.monotonic() < end:
        if going_down():
            end = min(end, time.monotonic() + AT_SHUTDOWN)
            ended(httpd, end - time.monotonic())
            return
        if ended(httpd, min(5.0, max(0.0, end - time.monotonic()))):
            return


def ended(httpd: int, seconds: float) -> bool:
    """Whether the process ends within that time."""
    return bool(select.select([httpd], [], [], max(0.0, seconds))[0])


def connections(ports: frozenset[int]) -> int:
    """How many open connections these ports have here."""
    count = 0
    for table in TABLES:
        try:
            with open(table) as file:  # noqa: PTH123
                rows = file.read().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, _, state, *_ = row.split()
            if state not in CLOSED_OR_CLOSING and int(local.rpartition(":")[2], 16) in ports:
                count += 1
    return count


def going_down() -> bool:
    """Whether this stop is part of the machine's own; where nobody can say, it is not."""
    try:
        done = subprocess.run(
            ["/usr/bin/systemctl", "is-system-running"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == b"stopping"


if __name__ == "__main__":
    flag_, idle_, grace_, *ports_ = sys.argv[1:]
    main(flag_, float(idle_), float(grace_), frozenset(map(int, ports_)))
