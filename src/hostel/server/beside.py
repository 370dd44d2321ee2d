"""What runs beside a site's instance: workers and jobs at set times, as states. Pure.

Workers belong to a generation, under names of its own. A job has one name for all generations:
so no run of it is made twice or left out by a switch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from hostel.background import jobs_of, workers_of
from hostel.plan import Key, State
from hostel.platforms.debian import SitePlaces
from hostel.resources.service import ServiceState, service_key
from hostel.server.setting import Setting, runs
from hostel.states import FileState, file_key
from hostel.systemd_units import (
    JobUnit,
    WorkerUnit,
    cron_service,
    cron_timer,
    job_name,
    timer_mark,
    timer_name,
    worker_name,
    worker_unit,
)

ROOT = "root:root"


def beside(setting: Setting, ready: tuple[Key, ...]) -> dict[Key, State]:
    """The states of all workers and jobs; they start when `ready` is there: after the switch."""
    states: dict[Key, State] = {}
    folder = setting.places.server.units

    def written(name: str, text: str) -> Key:
        which = file_key(folder / name)
        states[which] = FileState.of(text.encode(), mode=0o644, owner=ROOT)
        return which

    for worker in workers(setting):
        name = worker_name(worker)
        file = written(name, worker_unit(worker))
        states[service_key(name)] = ServiceState(needs=(*ready, file))
    for job in jobs(setting):
        service = written(job_name(setting.site.name, job.name), cron_service(job))
        timer = written(timer_name(setting.site.name, job.name), cron_timer(job))
        # The files of a job are those of the live generation, so they change with the switch.
        for which in (service, timer):
            states[which] = replace(states[which], needs=ready)
        states[service_key(timer_name(setting.site.name, job.name))] = ServiceState(
            mark=timer_mark(job), needs=(*ready, service, timer), loads=(service, timer)
        )
    return states


def workers(setting: Setting) -> Iterator[WorkerUnit]:
    """Each process of each worker."""
    for worker in workers_of(setting.site):
        limits = replace(runs(setting), memory=worker.memory)
        for number in range(1, worker.count + 1):
            yield WorkerUnit(
                runs=limits,
                generation=setting.number,
                name=worker.name,
                number=number,
                command=worker.command,
                stop_seconds=worker.stop_timeout,
            )


def jobs(setting: Setting) -> Iterator[JobUnit]:
    for job in jobs_of(setting.site):
        yield JobUnit(runs(setting), job.name, job.command, job.calendars, job.timeout)


def known(places: SitePlaces, keys: Iterable[Key]) -> list[Key]:
    """Those of the ledger's `keys` that are a worker's or a job's of this site, whichever."""
    name = re.escape(places.name)
    ours = re.compile(
        rf"(?:service:|file:{re.escape(str(places.server.units))}/)"
        rf"hostel-(?:worker@{name}-[0-9]+|cron@{name})\.[^/]+"
    )
    return [which for which in keys if ours.fullmatch(which)]


def workers_among(places: SitePlaces, units: Iterable[str]) -> set[str]:
    """Those of the units that are a worker of this site, of whichever generation."""
    ours = re.compile(rf"hostel-worker@{re.escape(places.name)}-[0-9]+\.[^/]+")
    return {unit for unit in units if ours.fullmatch(unit)}


def generation_of(places: SitePlaces, which: Key) -> int | None:
    """The generation that a worker's key belongs to; None for a job's."""
    match = re.search(rf"hostel-worker@{re.escape(places.name)}-([0-9]+)\.", which)
    return int(match[1]) if match else None
