"""What runs beside the app on a server, and within which limits: workers, jobs, limits. Pure.

Takes a site apart for whoever writes the units; knows nothing of systemd but how its timers say
when. Runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostel.cron import calendars
from hostel.errors import UsageError
from hostel.site import Site

THREADS_BESIDE = 6
"""Tasks of one httpd process besides those that run the app, as counted in one that is at rest: its
first thread, its listener, and those that wait for HTTP/2."""

TASKS_BESIDE = 4
"""Tasks of an instance that are none of its processes: httpd's parent and what writes its logs."""

BUSY = 3
"""How many times its tasks at rest an instance may have by default: busy with HTTP/2 it has more
threads, and while it is reloaded old processes stay beside new ones."""

ROOM = 512
"""Tasks beyond those that an app may have unless the site file says: the programs it starts."""

DEFAULT_MEMORY = "75%"
"""Of the machine's. What grows without end is killed alone, before the machine has nothing left
for its router, its PostgreSQL and the other sites."""


@dataclass(frozen=True)
class Worker:
    """A command of which `count` processes run all the time.

    `memory` is the most that each may have, as systemd's MemoryMax says it: bytes, or "75%" of
    the machine's. After `stop_timeout` seconds one that was asked to end is killed.
    """

    name: str
    command: tuple[str, ...]
    count: int
    memory: str
    stop_timeout: int


@dataclass(frozen=True)
class Job:
    """A command that runs whenever one of `calendars` (OnCalendar) is due, for at most `timeout`
    seconds. A run that is due while one is still at work is left out.
    """

    name: str
    calendars: tuple[str, ...]
    command: tuple[str, ...]
    timeout: int


@dataclass(frozen=True)
class Limits:
    """What each unit of a site may have at most, in the words of systemd.

    `memory` is MemoryMax, `tasks` TasksMax, `cpu` CPUQuota ("150%" is one core and a half) or ""
    where there is no limit.
    """

    memory: str
    tasks: int
    cpu: str


def workers_of(site: Site) -> tuple[Worker, ...]:
    """The workers of a site, by name."""
    return tuple(
        Worker(
            name,
            said.command,
            said.count,
            _memory(said.memory or site.server.memory),
            said.stop_timeout,
        )
        for name, said in sorted(site.workers.items())
    )


def jobs_of(site: Site) -> tuple[Job, ...]:
    """The commands of a site that run at set times, by name."""
    return tuple(
        Job(name, calendars(said.schedule, said.timezone or ""), said.command, said.timeout)
        for name, said in sorted(site.cron.items())
    )


def limits_of(site: Site, processes: int, threads: int) -> Limits:
    """The limits of a site whose instance has that many processes of that many threads each.

    Raises UsageError where so few tasks are allowed that the instance could not start.
    """
    own = processes * (threads + THREADS_BESIDE) + TASKS_BESIDE
    tasks = site.server.tasks or BUSY * own + ROOM
    if tasks < own:
        raise UsageError(
            "working out the limits of the site",
            f"[server] tasks = {tasks} is too little: {processes} processes of {threads} threads "
            f"are {own} tasks with what httpd needs beside them",
            "Raise [server] tasks, or lower processes or threads.",
        )
    cpu = f"{round(site.server.cpu * 100)}%" if site.server.cpu else ""
    return Limits(_memory(site.server.memory), tasks, cpu)


def left_out_here(site: Site) -> tuple[str, ...]:
    """What the private platform does not do of what a site asks for: one sentence, or none."""
    tables = [f"[{name}]" for name in ("workers", "cron") if getattr(site, name)]
    limits = [key for key in ("memory", "tasks", "cpu") if getattr(site.server, key) is not None]
    if limits:
        tables.append(f"[server] {', '.join(limits)}")
    if not tables:
        return ()
    *others, last = tables
    named = f"{', '.join(others)} and {last}" if others else last
    return (f"{named}: only on a server (`hostel apply`); `hostel up` runs the app alone.",)


def _memory(said: int | None) -> str:
    return DEFAULT_MEMORY if said is None else str(said)
