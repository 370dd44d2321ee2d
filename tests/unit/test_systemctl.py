"""What systemctl's answers are read as."""

from __future__ import annotations

import pytest

from hostel.resources.service import ServiceState, reason, state_of
from hostel.systemctl import UnitStatus, parse

ANSWER = """\
Type=notify
NRestarts=2
Result=success
ExecMainCode=0
ExecMainStatus=0
StatusText=OperationalError: a=b
Id=hostel-instance@a-1.service
Description=a, generation 1 (Hostel)
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
InvocationID=5f0a

Id=hostel-cron@a.clean.timer
Description=a, times of job clean (Hostel) [0123abcd]
LoadState=loaded
ActiveState=active
SubState=waiting
UnitFileState=enabled
Result=success
InvocationID=

"""


def unit(**said: str) -> UnitStatus:
    values = {"Id": "x.service", "LoadState": "loaded", "ActiveState": "active", **said}
    [found] = parse("".join(f"{name}={value}\n" for name, value in values.items()))
    return found


def test_each_unit_of_an_answer_is_read() -> None:
    service, timer = parse(ANSWER)
    assert service.name == "hostel-instance@a-1.service"
    assert (service.type, service.active, service.restarts) == ("notify", "active", 2)
    assert service.status == "OperationalError: a=b"
    assert (timer.name, timer.type, timer.restarts) == ("hostel-cron@a.clean.timer", "", 0)


def test_no_answer_is_no_unit() -> None:
    assert list(parse("")) == []
    assert list(parse("\n\n")) == []


def test_the_mark_of_what_systemd_has_read_is_part_of_the_state() -> None:
    service, timer = parse(ANSWER)
    assert state_of(timer) == ServiceState(mark="0123abcd")
    assert state_of(service) == ServiceState(mark="")


@pytest.mark.parametrize(
    ("active", "file", "expected"),
    [
        ("active", "enabled", ServiceState()),
        ("reloading", "enabled", ServiceState()),
        ("activating", "enabled", ServiceState()),
        ("active", "disabled", ServiceState(enabled=False)),
        # It would be back after the next boot, so it is not nothing.
        ("failed", "enabled", ServiceState(running=False)),
        ("inactive", "enabled", ServiceState(running=False)),
        ("deactivating", "enabled", ServiceState(running=False)),
        ("deactivating", "disabled", None),
        ("failed", "disabled", None),
        ("inactive", "disabled", None),
        ("inactive", "", None),
    ],
)
def test_what_runs_or_will_is_a_state_and_what_drains_or_has_ended_is_none(
    active: str, file: str, expected: ServiceState | None
) -> None:
    assert state_of(unit(ActiveState=active, UnitFileState=file)) == expected


def test_a_unit_that_systemd_does_not_know_is_absent() -> None:
    assert state_of(None) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"Result": "timeout"}, "it was not ready in time"),
        ({"Result": "oom-kill"}, "it needed more memory than it may have"),
        ({"Result": "exit-code", "ExecMainStatus": "127"}, "it ended with exit code 127"),
        ({"Result": "signal", "ExecMainStatus": "11"}, "it was ended by signal 11"),
        ({"Result": "protocol"}, "it ended before the app was loaded"),
        ({"Result": "success"}, "it ended at once"),
        ({"LoadState": "not-found", "Result": "success"}, "there is no such unit"),
        ({"LoadState": "bad-setting"}, "its unit file is bad"),
        ({"Result": "something-new"}, "systemd says something-new"),
        (
            {"Result": "exit-code", "ExecMainStatus": "217"},
            "systemd could not start it: its user does not exist",
        ),
        (
            {"Result": "protocol", "StatusText": "ImportError: no x"},
            "ImportError: no x (it ended before the app was loaded)",
        ),
    ],
)
def test_a_failed_start_has_a_reason_in_words(said: dict[str, str], expected: str) -> None:
    assert reason(unit(**said)) == expected
