"""Generations: what each `apply` of a site made live, as it is remembered. Reads records only.

A record holds all that its generation was made of, so that one can be made again when neither the
project nor its site file is there any more. It holds the environment, so it is root's alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.platforms.debian import SitePlaces

FORMAT = 1


@dataclass(frozen=True)
class Built:
    """A release as a record names it; `module` is the mod_wsgi it is run with."""

    id: str
    venv: str
    module: str
    python: str
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generation:
    """One generation. `site` is the site file's model as JSON, `content` a digest of all that
    decides what it is, its number and ports left out; `of` the one it was made from by a rollback.

    `certificate` is the edition of the certificate, 0 without one. `made` is ISO 8601 with zone.
    """

    number: int
    site: dict[str, Any]
    root: str
    release: Built
    env: dict[str, str]
    processes: int
    threads: int
    http_port: int
    https_port: int
    certificate: int
    content: str
    made: str
    of: int | None = None


@dataclass(frozen=True)
class Live:
    """Which generation of a site is live, and where its project was."""

    name: str
    number: int
    root: str


def encoded(generation: Generation) -> bytes:
    return json.dumps({"version": FORMAT, **asdict(generation)}, indent=1).encode()


def encoded_live(live: Live) -> bytes:
    return json.dumps({"version": FORMAT, **asdict(live)}, indent=1).encode()


def live_of(places: SitePlaces, machine: Machine) -> Live | None:
    """What is recorded as live; None for a site that never was, or was removed."""
    said = _json(places.record, machine)
    return None if said is None else Live(said["name"], int(said["number"]), said["root"])


def all_of(places: SitePlaces, machine: Machine) -> dict[int, Generation]:
    """The generations of a site that are still kept, by number, oldest first."""
    folder = places.generation_record(1).parent
    numbers = sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal())
    found = {}
    for number in numbers:
        said = _json(places.generation_record(number), machine)
        if said is not None:
            found[number] = _decoded(said)
    return found


def _decoded(said: dict[str, Any]) -> Generation:
    release = Built(**{**said["release"], "kept": tuple(said["release"]["kept"])})
    return Generation(**{**said, "release": release})


def _json(path: Path, machine: Machine) -> dict[str, Any] | None:
    text = machine.read(path)
    if text is None:
        return None
    try:
        said: dict[str, Any] = json.loads(text)
        if said.pop("version") != FORMAT:
            raise ValueError("it was written by another version of Hostel")
    except (ValueError, LookupError, AttributeError) as error:
        raise HostelError(
            f"reading {path}",
            f"it is no record of Hostel's, or is damaged ({type(error).__name__})",
            "Put it back from a backup. Without it, remove the site and apply it again.",
        ) from error
    return said
