"""A machine on which what a site's project runs has bounds, and leaves no process behind.

The check of an app and the hooks of a project run outside the site's own units, since those are
not there yet. Each such command gets a scope of systemd's with limits, which ends with it. Decides
nothing about what is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hostel.account import Account
from hostel.background import DEFAULT_MEMORY, Limits
from hostel.machine import Machine, Ran

SCOPE = "hostel-task-"
"""How the name of each such scope begins."""

CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""What root runs with on the way: nothing that a site said, such as LD_PRELOAD."""


ROOMY = Limits(memory=DEFAULT_MEMORY, tasks=4096, cpu="")
"""For what builds a release, which may need more than the site does."""


class Confined(Machine):
    """The machine for one site; `launcher` is where boot/launch.py lies for the site's user."""

    def __init__(self, runner: Account, launcher: Path, limits: Limits) -> None:
        super().__init__(runner)
        self.launcher = launcher
        self.limits = limits
        self._scopes: dict[int, str] = {}

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        as_runner: bool = False,
        stdin: str | bytes = "",
        timeout: float = 600,
        pass_fds: Sequence[int] = (),
    ) -> Ran:
        """As Machine.run; what runs as the runner is bounded, and ends with all it started."""
        if not as_runner:
            return super().run(
                argv, env=env, cwd=cwd, stdin=stdin, timeout=timeout, pass_fds=pass_fds
            )
        scope = _new_scope()
        with _said(env, cwd) as handle:
            command = self._within(scope, handle, argv)
            try:
                ran = super().run(
                    command,
                    env=CLEAN,
                    cwd=Path("/"),
                    stdin=stdin,
                    timeout=timeout,
                    pass_fds=(handle, *pass_fds),
                )
            finally:
                end_scopes(self, scope)
        return replace(ran, argv=tuple(map(str, argv)))

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        as_runner: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """As Machine.spawn, bounded like `run`; `end_session` ends it."""
        if not as_runner:
            return super().spawn(argv, env=env, cwd=cwd, log=log, pass_fds=pass_fds)
        scope = _new_scope()
        with _said(env, cwd) as handle:
            command = self._within(scope, handle, argv)
            child = super().spawn(
                command, env=CLEAN, cwd=Path("/"), log=log, pass_fds=(handle, *pass_fds)
            )
        self._scopes[child.pid] = scope
        return child

    def end_session(self, child: subprocess.Popen[bytes]) -> None:
        """Also those of its processes that have made a session of their own."""
        super().end_session(child)
        if scope := self._scopes.pop(child.pid, ""):
            end_scopes(self, scope)

    def _within(self, scope: str, handle: int, argv: Sequence[str]) -> list[str]:
        """The command in a scope of that name, become the runner by the time a site has a say.

        No value of an environment is an argument: the launcher reads them from `handle`.
        """
        most, runner = self.limits, self.runner
        limits = [f"MemoryMax={most.memory}", f"MemorySwapMax={most.memory}"]
        limits += [f"TasksMax={most.tasks}", "CPUWeight=50", "KillSignal=SIGKILL"]
        return [
            *("systemd-run", "--scope", "--quiet", "--collect", f"--unit={scope}"),
            f"--description=A command of {runner.name} (Hostel)",
            *(word for limit in limits for word in ("-p", limit)),
            *("--", "setpriv", f"--reuid={runner.uid}", f"--regid={runner.gid}"),
            *("--clear-groups", "--pdeathsig=KILL", "--"),
            # Should the machine run out of memory, this goes before any site.
            *("choom", "-n", "500", "--"),
            *("/usr/bin/python3", "-I", "-S", str(self.launcher), f"/proc/self/fd/{handle}", "--"),
            *map(str, argv),
        ]


def end_scopes(machine: Machine, name: str = f"{SCOPE}*.scope") -> None:
    """End all that still runs in the scopes of that name, by default those of a killed run too."""
    machine.run(["systemctl", "--no-ask-password", "stop", "--", name], env=CLEAN, timeout=120)


def _new_scope() -> str:
    return f"{SCOPE}{secrets.token_hex(6)}.scope"


@contextlib.contextmanager
def _said(env: Mapping[str, str] | None, cwd: Path | None) -> Iterator[int]:
    """An open file with environment and folder, in memory alone, as boot/launch.py reads it."""
    said = {"env": dict(os.environ if env is None else env), "cwd": str(cwd or Path.cwd())}
    handle = os.memfd_create("hostel-boot")
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(json.dumps(said).encode())
        yield handle
    finally:
        os.close(handle)
