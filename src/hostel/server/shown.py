"""Changes as people and programs read them: what, before, after. Pure; holds back secrets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import Any

from hostel.plan import Change, State, kind_of, name_of
from hostel.states import FileState

MOST_LINES = 20
SIGNS = {"create": "+", "change": "~", "remove": "-"}


@dataclass(frozen=True)
class Shown:
    """One change: `before` and `after` are what differs, by name; `lines` a file's difference."""

    sign: str
    kind: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    lines: tuple[str, ...]


def shown(change: Change) -> Shown:
    before, after = _facts(change, change.before), _facts(change, change.after)
    if before is not None and after is not None:
        same = {name for name in before if before[name] == after.get(name)}
        before = {name: value for name, value in before.items() if name not in same}
        after = {name: value for name, value in after.items() if name not in same}
    sign = SIGNS[change.verb]
    name, kind = name_of(change.key), kind_of(change.key)
    return Shown(sign, kind, name, before, after, _lines(change))


def as_json(change: Change) -> dict[str, Any]:
    said = shown(change)
    return {
        "key": change.key,
        "verb": change.verb,
        "kind": said.kind,
        "name": said.name,
        "before": said.before,
        "after": said.after,
        "diff": list(said.lines),
    }


def _is_secret(change: Change) -> bool:
    return any(getattr(side, "secret", False) for side in (change.before, change.after))


def _facts(change: Change, state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    found: dict[str, Any] = {}
    for one in fields(state):
        value = getattr(state, one.name)
        if not one.compare or value in ("", ()):
            continue
        if one.name == "digest":
            # A digest of few possible values tells which it is.
            value = "secret" if _is_secret(change) else value[:12]
        found[one.name] = f"{value:04o}" if one.name == "mode" else value
    return found


def _lines(change: Change) -> tuple[str, ...]:
    """How a file's text differs, where it was there before and is no secret."""
    before, after = change.before, change.after
    if not (isinstance(before, FileState) and isinstance(after, FileState)) or _is_secret(change):
        return ()
    try:
        old, new = before.content.decode().splitlines(), after.content.decode().splitlines()
    except UnicodeDecodeError:
        return ()
    lines = list(difflib.unified_diff(old, new, "as it is", "as it shall be", lineterm="", n=1))
    more = [f"... {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    return (*lines[:MOST_LINES], *more)
