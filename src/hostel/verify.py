"""Real requests to a running instance, as its visitors make them. Changes nothing.

httpd's own config test is no safety net, so nothing is called up before it has answered here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostel.errors import HostelError
from hostel.instance import MARKER, PROBE_AGENT

MOST_CUT = 3
"""Requests that may end without an answer: a process that crashes with each is not waited for."""


REST_SECONDS, REST_READS = 0.3, 10
"""For how long a log must have stayed as it is to be read, and how often it is looked at."""


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
    name: str,
    health: Patience,
    front: Front,
    alive: Callable[[], bool],
    log: Path,
    offset: int,
    others: Callable[[str], bool] = lambda _: False,
) -> str:
    """Ask for the health path until it answers; returns a note for people, or "".

    Raises HostelError with the app's own log lines when it answers with an error of the server,
    not at all, or not as a declared health path must. See `unwell` for where they are.
    """
    from hostel.probe import NotListening, ask

    deadline, cut = time.monotonic() + health.timeout, 0
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
            cut += not isinstance(error, NotListening)
            if not alive() or time.monotonic() > deadline or cut > MOST_CUT:
                doing = f"asking {name} for {health.path}"
                raise unwell(doing, error.happened, log, offset, others) from error
            time.sleep(0.2 if cut else 0.02)
    if answer.status >= 500 or (health.declared and answer.status >= 400):
        said = f"it answered {answer.status} {answer.reason}".rstrip()
        raise unwell(f"asking {name} for {health.path}", said, log, offset, others)
    if answer.status == 400:
        return (
            f"the app answers 400 to the name {front.host}: if it is Django, put it into "
            "ALLOWED_HOSTS (HOSTEL_DOMAINS in its environment lists the site's names)"
        )
    return ""


def unwell(
    doing: str, happened: str, log: Path, offset: int, others: Callable[[str], bool]
) -> HostelError:
    """What went wrong with an app, with the lines that it wrote into `log` after `offset` bytes.

    Lines of processes that are `others`, by their numbers, are left out.
    """
    from hostel.log_join import readable

    lines = readable(_at_rest(log, offset), others)
    return HostelError(
        doing,
        happened,
        "The app's own lines are above; mend it and run the same command again."
        if lines
        else "The app logged nothing: run it with errors to stderr (for Django, LOGGING).",
        "\n".join(lines[-40:]),
    )


def _at_rest(log: Path, offset: int) -> str:
    """What stands in the log after `offset` bytes, once nothing is added for a moment: on a server
    lines come through another process, a little later than the answer.
    """
    said, before = _read(log, offset), ""
    for _ in range(REST_READS):
        time.sleep(REST_SECONDS)
        before, said = said, _read(log, offset)
        if said == before:
            break
    return said


def _read(log: Path, offset: int) -> str:
    from hostel.log_files import open_log

    with contextlib.suppress(OSError):
        # The folder is the app's: what it put there instead of a log is not read.
        file = open_log(log)
        if file is not None:
            with file:
                file.seek(offset)
                return file.read(200_000).decode(errors="replace")
    return ""
