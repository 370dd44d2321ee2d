"""A Procfile as what the site file would say: the app, the release hook, the workers. Pure.

The site file wins wherever it speaks. No shell runs these lines: one that needs a shell is left
out, and a note names it. Which app a `web` line serves is `hostel.webline`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hostel import site_values as values
from hostel.commands import command, needs_shell
from hostel.site_values import shown
from hostel.webline import WebApp, web_app

NAME = "Procfile"
_LINE = re.compile(r"([A-Za-z0-9_-]+):(.*)")


@dataclass(frozen=True)
class Line:
    """One line: its number, the name before the colon, and the command."""

    number: int
    name: str
    command: str

    @property
    def at(self) -> str:
        """Where it is, for messages."""
        return f"{NAME}:{self.number}  {self.name}"


@dataclass(frozen=True)
class Found:
    """What a Procfile adds: `web` is the app, `values` are keys of the site file, merged with what
    it says already; `notes` say what was taken and what was left out, a sentence each.
    """

    web: WebApp | None
    values: Mapping[str, Any]
    notes: tuple[str, ...]


def found_in(text: str, said: Mapping[str, Any], *, app_is_named: bool) -> Found:
    """What the Procfile `text` adds to the keys that the site file `said`."""
    lines, notes = _lines(text)
    web = None
    if "web" in lines and not app_is_named:
        try:
            web = web_app(lines["web"].command)
        except ValueError as error:
            notes.append(
                f"{lines['web'].at} was not understood: {error}. "
                'Say app = "module:callable" in hostel.toml.'
            )
    added: dict[str, Any] = {}
    if "release" in lines:
        added |= _release(lines["release"], said, notes)
    workers = [line for name, line in lines.items() if name not in ("web", "release")]
    if workers:
        added |= _workers(workers, said, notes)
    return Found(web, added, tuple(notes))


def _lines(text: str) -> tuple[dict[str, Line], list[str]]:
    """The lines by name, and notes about those that are none."""
    found: dict[str, Line] = {}
    notes = []
    for number, raw in enumerate(text.splitlines(), 1):
        content = raw.strip()
        if not content or content.startswith("#"):
            continue
        match = _LINE.fullmatch(content)
        if match is None or not match[2].strip():
            notes.append(f"{NAME}:{number}  is left out: it is not NAME: COMMAND.")
        elif match[1] in found:
            notes.append(f"{NAME}:{number}  is left out: {match[1]} is there already.")
        else:
            found[match[1]] = Line(number, match[1], match[2].strip())
    return found, notes


def _release(line: Line, said: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    hooks = said.get("hooks", {})
    if not isinstance(hooks, dict):
        return {}
    if "release" in hooks:
        notes.append(f"{line.at} is not used: the site file has a [hooks] release.")
        return {}
    words = _words(line, "[hooks] release", notes)
    if not words:
        return {}
    notes.append(f"{line.at} is the release hook. Say otherwise with [hooks] release.")
    return {"hooks": {**hooks, "release": list(words)}}


def _workers(lines: list[Line], said: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    names = ", ".join(line.name for line in lines)
    if "workers" in said:
        notes.append(f"{NAME}: {names} not used: the site file has [workers], which wins.")
        return {}
    workers: dict[str, list[str]] = {}
    for name, line in _settled(lines, notes):
        words = _words(line, f"[workers] {name}", notes)
        if words:
            workers[name] = list(words)
    if workers:
        what = "is a worker" if len(workers) == 1 else "are workers"
        notes.append(f"{NAME}: {', '.join(workers)} {what}. Say otherwise with [workers].")
    return {"workers": workers} if workers else {}


def _settled(lines: list[Line], notes: list[str]) -> Iterator[tuple[str, Line]]:
    """Lines with names that the site file could give: "Celery_Beat" becomes celery-beat."""
    seen = set()
    for line in lines:
        name = line.name.lower().replace("_", "-")
        if values.TASK.fullmatch(name) and name not in seen:
            seen.add(name)
            yield name, line
        else:
            why = f"as {name} it is there already" if name in seen else "it has no name for a unit"
            notes.append(f"{line.at} is left out: {why}. Say it under [workers] in hostel.toml.")


def _words(line: Line, key: str, notes: list[str]) -> tuple[str, ...]:
    """The command as words; none, and a note, where it is not one without a shell."""
    found = needs_shell(line.command)
    try:
        if not found:
            return command(line.command)
        why = f"{shown(found)} would need a shell, and no shell runs this"
        remedy = f'A shell of your own does: {key} = ["sh", "-c", "..."] in hostel.toml.'
    except ValueError as error:
        why, remedy = str(error), f"Say it as {key} in hostel.toml."
    notes.append(f"{line.at} is left out: {why}. {remedy}")
    return ()
