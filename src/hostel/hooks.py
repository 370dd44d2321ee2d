"""Running a project's own commands: argument lists, in a release, as the site's user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine

HOOK_SECONDS = 1800.0


def run_hook(
    what: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, machine: Machine
) -> None:
    """Run a hook to its end, in `cwd` with exactly `env`. Raises HostelError with what it said."""
    ran = machine.run(list(argv), env=env, cwd=cwd, as_runner=True, timeout=HOOK_SECONDS)
    if ran.ok:
        return
    shown = " ".join(argv)
    happened = {
        124: f"no end after {HOOK_SECONDS:.0f} s",
        126: f"{argv[0]} may not be run",
        127: f"there is no program {argv[0]}",
    }.get(ran.code, f"exit code {ran.code}")
    said = (ran.out.rstrip() + "\n" + ran.err.rstrip()).strip().splitlines()
    raise HostelError(
        f"running {what}, {shown}",
        happened,
        "Its own lines are above; mend it, or change [hooks] in the site file.",
        "\n".join(said[-40:]),
    )
