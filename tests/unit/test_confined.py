"""Commands of a project with bounds: how they are started. That the bounds hold is tested on a
booted machine, in tests/system/server/test_isolation.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from hostel import confined
from hostel.account import Account
from hostel.background import Limits
from hostel.boot import launch
from hostel.confined import CLEAN, Confined
from hostel.machine import Machine

ME = Account.current()
SECRET = "nobody-reads-this"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Confined:
    """One whose commands are the launcher's alone, without systemd and without another user."""
    made = Confined(ME, Path(launch.__file__), Limits("300000000", 200, ""))
    whole = made._within

    def launcher(scope: str, handle: int, argv: Any) -> list[str]:
        words = whole(scope, handle, argv)
        return [sys.executable, *words[words.index("/usr/bin/python3") + 1 :]]

    monkeypatch.setattr(made, "_within", launcher)
    monkeypatch.setattr(confined, "end_scopes", lambda *_: None)
    return made


def test_a_command_gets_exactly_its_environment_its_folder_and_its_input(
    machine: Confined, tmp_path: Path
) -> None:
    code = "import os, sys; print(dict(os.environ), os.getcwd(), sys.stdin.read())"
    env = {"SECRET": SECRET, "LC_ALL": "C.UTF-8"}
    argv = [sys.executable, "-c", code]
    ran = machine.run(argv, env=env, cwd=tmp_path, as_runner=True, stdin="in")
    assert ran.ok, ran.err
    assert ran.out == f"{env} {tmp_path} in\n"
    assert ran.argv == tuple(argv)


def test_a_command_that_is_not_there_is_code_127(machine: Confined) -> None:
    ran = machine.run(["no-such-program"], env={}, cwd=Path("/"), as_runner=True)
    assert ran.code == 127
    assert "no-such-program" in ran.err


def test_what_is_spawned_can_be_ended(machine: Confined, tmp_path: Path) -> None:
    child = machine.spawn(
        ["/bin/sleep", "600"], env={}, cwd=tmp_path, log=tmp_path / "log", as_runner=True
    )
    assert child.poll() is None
    machine.end_session(child)
    assert child.wait(60) == -9


def test_root_runs_nothing_with_what_a_site_says_and_no_value_is_an_argument() -> None:
    machine = Confined(ME, Path("/boot/launch.py"), Limits("300000000", 200, ""))
    words = machine._within("hostel-task-1.scope", 7, ["tool", "--all"])
    assert words[0] == "systemd-run"
    for limit in ("MemoryMax=300000000", "MemorySwapMax=300000000", "TasksMax=200"):
        assert words[words.index(limit) - 1] == "-p"
    launched = words.index("/boot/launch.py")
    assert words.index(f"--reuid={ME.uid}") < launched
    assert words[launched + 1 :] == ["/proc/self/fd/7", "--", "tool", "--all"]
    assert {*CLEAN} == {"PATH", "LC_ALL"}


def test_what_is_root_s_own_runs_as_on_any_machine(tmp_path: Path) -> None:
    machine = Confined(ME, Path("/nowhere/launch.py"), Limits("1", 1, ""))
    plain = Machine().run(["/bin/echo", "hello"], cwd=tmp_path)
    assert machine.run(["/bin/echo", "hello"], cwd=tmp_path) == plain
    assert isinstance(plain.out, str)
