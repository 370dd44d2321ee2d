"""The systemd units of a site: its instances, workers and jobs at set times. Pure.

Holds the only quoting function for unit files. Puts no value of an environment into a unit: what
is secret reaches a process through `boot/launch.py` alone. Asks systemd nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hostel.sites_unit import SITES
from hostel.systemd_hardening import HARDENING

PYTHON = "/usr/bin/python3"
"""The system's own: a launcher must not depend on what it launches."""

RUN = Path("/run")
DRAIN_FLAG = "drain"
"""Its name in an instance's run folder: while it is there, no connection is kept alive."""

DRAIN_MARGIN = 15
"""Seconds beyond a drain's own limit after which systemd ends it."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:@=+,-]+")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@=+,*~() \[\]-]+")
_AMOUNT = re.compile(r"[0-9]+%?|infinity")


class Unquotable(ValueError):
    """The text holds what a unit file cannot carry, such as NUL."""


def quote(text: str) -> str:
    """One word of a command line in a unit, as the process will get it, whatever it holds.

    Three layers read a word: C-like escapes and quotes, then `%` specifiers, then `$` variables.
    """
    if _PLAIN_WORD.fullmatch(text):
        return text
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char in "%$":
        return char * 2
    number, category = ord(char), unicodedata.category(char)
    # systemd drops a line with what it takes for no UTF-8; escaped, `systemctl show` would fail
    # for every unit that is asked about together with this one.
    none = 0xFDD0 <= number <= 0xFDEF or number & 0xFFFE == 0xFFFE
    if char == "\0" or category == "Cs" or none:
        raise Unquotable(f"U+{number:04X} can be no part of a command")
    return f"\\u{number:04x}" if category in ("Cc", "Zl", "Zp") else char


def command(words: Iterable[object]) -> str:
    """A command line for a unit's Exec settings; what it runs is the first word, a plain path."""
    return " ".join(quote(str(word)) for word in words)


@dataclass(frozen=True)
class Runs:
    """As whom and within what limits the processes of a site's generation run.

    `boot` is the folder with Hostel's launcher, `boot_json` says the environment. `memory` is
    MemoryMax, `tasks` TasksMax, `cpu` CPUQuota or "" (see `background.Limits`). In the folders
    of `writable` they may write, besides a /tmp of their own, and nowhere else.
    """

    site: str
    user: str
    group: str
    boot: Path
    boot_json: Path
    writable: tuple[Path, ...]
    memory: str
    tasks: int
    cpu: str = ""


@dataclass(frozen=True)
class InstanceUnit:
    """One instance: httpd of one generation. Times in seconds.

    `run` is its folder below /run, `ports` are those it listens on. It has `start_seconds` to
    import the app. When it is stopped, idle connections have `idle_seconds` to close and then
    requests in flight `stop_seconds` to end.
    """

    runs: Runs
    generation: int
    run: Path
    httpd: Path
    conf: Path
    ports: tuple[int, ...]
    start_seconds: int
    stop_seconds: int
    idle_seconds: int


@dataclass(frozen=True)
class WorkerUnit:
    """One process of a worker of one generation; `number` counts those alike from 1."""

    runs: Runs
    generation: int
    name: str
    number: int
    command: tuple[str, ...]
    stop_seconds: int


@dataclass(frozen=True)
class JobUnit:
    """A command at set times. Its units have one name for all generations, see `cron_timer`."""

    runs: Runs
    name: str
    command: tuple[str, ...]
    calendars: tuple[str, ...]
    timeout: int


# No name of a site, worker or job holds a dot, so no two of these can meet.

WORKERS = "hostel-worker@"
"""How the names of the units of all workers begin."""


def worker_name(worker: WorkerUnit) -> str:
    site = worker.runs.site
    return f"{WORKERS}{site}-{worker.generation}.{worker.name}.{worker.number}.service"


def job_name(site: str, job: str) -> str:
    return f"hostel-cron@{site}.{job}.service"


def timer_name(site: str, job: str) -> str:
    return f"hostel-cron@{site}.{job}.timer"


def instance_template() -> str:
    """`hostel-instance@.service`: what is the same for the instances of all sites."""
    return _HEAD + _INSTANCE + HARDENING + _INSTALL


def instance_dropin(instance: InstanceUnit) -> str:
    """`hostel-instance@NAME-N.service.d/site.conf`: whose instance it is, and its limits."""
    runs, run = instance.runs, instance.run
    httpd = [instance.httpd, "-f", instance.conf, "-DFOREGROUND"]
    drain = [PYTHON, "-I", "-S", runs.boot / "drain.py", run / DRAIN_FLAG]
    drain += [instance.idle_seconds, instance.stop_seconds, *instance.ports]
    stop = instance.idle_seconds + instance.stop_seconds + DRAIN_MARGIN
    settings = [
        *_identity(runs),
        _set("ExecStart", command([*_launch(runs, "--httpd"), *httpd])),
        _set("ExecStop", command(drain)),
        _set("RuntimeDirectory", _plain(str(run.relative_to(RUN)))),
        _set("TimeoutStartSec", f"{instance.start_seconds}s"),
        _set("TimeoutStopSec", f"{stop}s"),
    ]
    title = _set("Description", _plain(f"{runs.site}, generation {instance.generation} (Hostel)"))
    return _WRITTEN + f"[Unit]\n{title}\n[Service]\n{''.join(settings)}"


def worker_unit(worker: WorkerUnit) -> str:
    """A worker, whole: it runs as long as its generation is live and comes back when it ends."""
    runs = worker.runs
    what = f"{runs.site}, generation {worker.generation}, worker {worker.name} {worker.number}"
    return (
        _WRITTEN
        + f"[Unit]\n{_set('Description', _plain(f'{what} (Hostel)'))}"
        + "After=network.target nss-lookup.target postgresql.service\nStartLimitIntervalSec=0\n"
        + _COLLECTED
        + "\n[Service]\nType=exec\nRestart=always\nRestartSec=5s\n"
        + "# SIGTERM to the worker itself, which knows what its children are doing.\n"
        + f"KillMode=mixed\nOOMPolicy=continue\nTimeoutStopSec={worker.stop_seconds}s\n"
        + "".join([*_identity(runs), _set("ExecStart", _started(runs, worker.command))])
        + HARDENING
        + _INSTALL
    )


def cron_service(job: JobUnit) -> str:
    """What a job runs. systemd never runs it twice at once, nor kills it when the file changes."""
    runs = job.runs
    return (
        _WRITTEN
        + f"[Unit]\n{_set('Description', _plain(f'{runs.site}, job {job.name} (Hostel)'))}"
        + "After=network.target nss-lookup.target postgresql.service\n"
        # Not oneshot: the machine would count as starting for as long as a job runs.
        + f"\n[Service]\nType=exec\nRuntimeMaxSec={job.timeout}s\n"
        + "# A reboot waits this long for a job to end by itself.\n"
        + "KillMode=mixed\nTimeoutStopSec=30s\nOOMPolicy=continue\n"
        + "".join([*_identity(runs), _set("ExecStart", _started(runs, job.command))])
        + HARDENING
    )


def cron_timer(job: JobUnit) -> str:
    """When a job runs.

    A switch replaces both files under the same names and has systemd read them again: the timer
    goes on with its memory of the last run, so that no run is made twice or left out. Only the
    mark in its description tells which of them systemd has read.
    """
    runs = job.runs
    what = f"{runs.site}, times of job {job.name} (Hostel) [{timer_mark(job)}]"
    return (
        _WRITTEN
        + f"[Unit]\n{_set('Description', _plain(what))}"
        + "\n[Timer]\n"
        + "".join(_set("OnCalendar", _plain(one)) for one in job.calendars)
        + "AccuracySec=1s\n"
        + "# A run that was due while the machine was off is made up for, once.\n"
        + "Persistent=yes\n"
        + "\n[Install]\nWantedBy=timers.target\n"
    )


def timer_mark(job: JobUnit) -> str:
    """A digest of all that a job's two units say; see `ServiceState.mark`."""
    said = [cron_service(job), *job.calendars]
    return sha256("\n".join(said).encode()).hexdigest()[:12]


def _launch(runs: Runs, *options: str) -> list[object]:
    return [PYTHON, "-I", "-S", runs.boot / "launch.py", *options, runs.boot_json, "--"]


def _started(runs: Runs, words: tuple[str, ...]) -> str:
    return command([*_launch(runs), *words])


def _identity(runs: Runs) -> list[str]:
    cpu = [_set("CPUQuota", _amount(runs.cpu))] if runs.cpu else []
    return [
        _set("User", _plain(runs.user)),
        _set("Group", _plain(runs.group)),
        *(_set("ReadWritePaths", _path(folder)) for folder in runs.writable),
        _set("MemoryMax", _amount(runs.memory)),
        # No more than that in swap either: a leak shall end, not fill the machine's.
        _set("MemorySwapMax", _amount(runs.memory)),
        _set("TasksMax", str(runs.tasks)),
        *cpu,
    ]


def _set(name: str, value: str) -> str:
    return f"{name}={value}\n"


def _plain(text: str) -> str:
    """A value that nothing reads otherwise than it is written."""
    if not _PLAIN_VALUE.fullmatch(text) or text != text.strip():
        raise Unquotable(f"{text!r} cannot be written into a unit as it is")
    return text


def _path(path: Path) -> str:
    """systemd's lists of paths have another grammar than its commands: only what needs none."""
    if not path.is_absolute() or not _PLAIN_WORD.fullmatch(str(path)):
        raise Unquotable(f"{str(path)!r} cannot be written into a unit's list of paths")
    return str(path)


def _amount(text: str) -> str:
    if not _AMOUNT.fullmatch(text):
        raise Unquotable(f"{text!r} is no amount")
    return text


_COLLECTED = (
    "# One that had to be killed at its end is no failure to look at once its time is over.\n"
    "CollectMode=inactive-or-failed\n"
)

_WRITTEN = "# Written by Hostel; it is replaced at the next change.\n"

_INSTALL = "\n[Install]\nWantedBy=multi-user.target\n"

_HEAD = (
    _WRITTEN
    + f"""[Unit]
Description=%i (Hostel)
# Not after the router and others themselves: while this drains, systemd would not start them.
After={SITES}
# An app that was good and whose database is away must come back by itself, however late.
StartLimitIntervalSec=0
"""
    + _COLLECTED
)

_INSTANCE = """
[Service]
# READY=1 comes from a process that has imported the app, a child of httpd.
Type=notify
NotifyAccess=all
# Also after an orderly end: nobody but systemd has reason to ask for one.
Restart=always
RestartSec=5s
# Nothing is in flight in a start that takes too long; httpd would wait for what hangs.
TimeoutStartFailureMode=kill
# ExecStop drains and ends httpd; what SIGTERM meets then had its time.
KillMode=mixed
# httpd replaces one process that the kernel has killed for its memory; the others serve on.
OOMPolicy=continue
RuntimeDirectoryMode=0750
"""
