"""Workers, jobs and limits of a site, as whoever writes the units takes them."""

from __future__ import annotations

from typing import Any

import pytest

from hostel.background import (
    DEFAULT_MEMORY,
    Job,
    Worker,
    jobs_of,
    left_out_here,
    limits_of,
    workers_of,
)
from hostel.errors import UsageError
from hostel.site import Site


def site(**said: Any) -> Site:
    return Site.model_validate({"name": "guestbook", "app": "guestbook:app", **said})


def test_a_site_that_says_nothing_has_neither_workers_nor_jobs() -> None:
    assert workers_of(site()) == jobs_of(site()) == ()


def test_a_command_is_enough_for_a_worker() -> None:
    said = {"mail": "python mail.py", "beat": ["celery", "beat"]}
    assert workers_of(site(workers=said)) == (
        Worker("beat", ("celery", "beat"), 1, DEFAULT_MEMORY, 30),
        Worker("mail", ("python", "mail.py"), 1, DEFAULT_MEMORY, 30),
    )


def test_a_worker_has_the_sites_memory_unless_it_has_its_own() -> None:
    own = {"command": "b", "count": 2, "memory": "256MB", "stop_timeout": "2m"}
    workers = workers_of(site(workers={"a": "a", "b": own}, server={"memory": "512MB"}))
    assert [(one.count, one.memory, one.stop_timeout) for one in workers] == [
        (1, "512000000", 30),
        (2, "256000000", 120),
    ]


def test_a_job_has_its_times_as_systemd_says_them() -> None:
    said = {"schedule": "0  3 1 * Mon", "command": "a b", "timezone": "UTC"}
    hourly = {"schedule": "@hourly", "command": ["b"], "timeout": 5}
    assert jobs_of(site(cron={"nightly": said, "hourly": hourly})) == (
        Job("hourly", ("*-*-* *:00:00",), ("b",), 5),
        Job("nightly", ("*-*-01 03:00:00 UTC", "Mon *-*-* 03:00:00 UTC"), ("a", "b"), 3600),
    )


def test_limits_are_said_in_systemds_words() -> None:
    limits = limits_of(site(server={"memory": "1GiB", "tasks": 200, "cpu": 1.5}), 2, 8)
    assert (limits.memory, limits.tasks, limits.cpu) == (str(2**30), 200, "150%")
    assert limits_of(site(server={"cpu": 0.05}), 1, 1).cpu == "5%"


@pytest.mark.parametrize(("processes", "threads"), [(1, 1), (16, 32), (256, 512)])
def test_by_default_there_are_tasks_enough_for_any_instance_and_an_end_to_them(
    processes: int, threads: int
) -> None:
    limits = limits_of(site(), processes, threads)
    assert processes * threads + 512 < limits.tasks < 4 * processes * (threads + 4) + 600
    assert (limits.memory, limits.cpu) == (DEFAULT_MEMORY, "")


def test_an_instance_that_could_not_start_is_refused_before_it_is_tried() -> None:
    with pytest.raises(UsageError, match="4 processes of 32 threads") as caught:
        limits_of(site(server={"tasks": 100}), 4, 32)
    assert "Raise [server] tasks" in caught.value.remedy


def test_what_needs_a_server_is_said_in_one_sentence_and_only_where_it_was_asked_for() -> None:
    assert left_out_here(site(server={"processes": 2, "max_body": "5MB"})) == ()
    job = {"a": {"schedule": "@daily", "command": "b"}}
    (one,) = left_out_here(site(workers={"a": "b"}, cron=job, server={"tasks": 99, "cpu": 1}))
    assert one.startswith("[workers], [cron] and [server] tasks, cpu: only on a server")
    assert "hostel apply" in one
    (other,) = left_out_here(site(cron=job))
    assert other.startswith("[cron]: ")
