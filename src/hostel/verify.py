"""Real requests to a running instance, as its visitors make them. Changes nothing.

httpd's own config test is no safety net, so nothing is called up before it has answered here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostel.errors import HostelError
from hostel.instance_conf import MARKER, PROBE_AGENT


@dataclass(frozen=True)
class Front:
    """Where an instance is reached: the socket, the name, and the CA when it speaks TLS.

    One that is `proxied` expects the PROXY protocol first, as from a router.
    """

    address: str
    port: int
    host: str
    authority: Path | None
    proxied: bool = False


@dataclass(frozen=True)
class Patience:
    """What to ask for and for how many seconds; a declared path must answer below 400."""

    path: str
    timeout: float
    declared: bool = False


def is_live(front: Front, generation: str) -> bool:
    """Whether the instance of this generation answers by now; never raises."""
    from hostel.probe import ask

    try:
        answer = ask(
            front.address,
            front.port,
            front.host,
            MARKER + generation,
            authority=front.authority,
            agent=PROBE_AGENT,
            timeout=5,
            proxied=front.proxied,
        )
    except HostelError:
        return False
    return answer.status == 204


def verify(
    name: str, health: Patience, front: Front, alive: Callable[[], bool], log: Path, offset: int
) -> str:
    """Ask for the health path until it answers; returns a note for people, or "".

    Raises HostelError with the app's own log lines (those after `offset` bytes of `log`) when
    it answers with an error of the server, not at all, or not as a declared health path must.
    """
    from hostel.probe import ask

    deadline = time.monotonic() + health.timeout
    while True:
        try:
            answer = ask(
                front.address,
                front.port,
                front.host,
                health.path,
                authority=front.authority,
                agent=PROBE_AGENT,
                timeout=max(1.0, deadline - time.monotonic()),
                proxied=front.proxied,
            )
            break
        except HostelError as error:
            if not alive() or time.monotonic() > deadline:
                raise _unwell(name, health, error.happened, log, offset) from error
            time.sleep(0.02)
    if answer.status >= 500 or (health.declared and answer.status >= 400):
        raise _unwell(name, health, f"it answered {answer.status} {answer.reason}", log, offset)
    if answer.status == 400:
        return (
            f"the app answers 400 to the name {front.host}: if it is Django, put it into "
            "ALLOWED_HOSTS (HOSTEL_DOMAINS in its environment lists the site's names)"
        )
    return ""


def _unwell(name: str, health: Patience, happened: str, log: Path, offset: int) -> HostelError:
    from hostel.log_join import readable

    try:
        with log.open("rb") as file:
            file.seek(offset)
            said = file.read(200_000).decode(errors="replace")
    except OSError:
        said = ""
    lines = readable(said)
    return HostelError(
        f"asking {name} for {health.path}",
        happened,
        "The app's own lines are above; mend it and run the same command again."
        if lines
        else "The app logged nothing: run it with errors to stderr (for Django, LOGGING).",
        "\n".join(lines[-40:]),
    )
