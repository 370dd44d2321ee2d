"""What a person changed by hand of what Hostel made. Pure: compares what others saw and remember.

A difference between what is and what was made last is drift; one between what is and what shall
be is only a change to make.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256

from hostel.plan import Key, State

_WORDS = {"digest": "content", "names": "packages", "is_a": "what it is"}


@dataclass(frozen=True)
class Drift:
    """One thing that is not as Hostel left it, and what about it: "mode 0666 instead of 0644"."""

    key: Key
    what: str


def state_digest(state: State) -> str:
    """What to remember of a state: all that is compared, and no secret could be read from it."""
    said = {one.name: getattr(state, one.name) for one in fields(state) if one.compare}
    text = json.dumps([type(state).__name__, said], sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()


def drifts(
    made: Mapping[Key, str], observed: Mapping[Key, State | None], desired: Mapping[Key, State]
) -> tuple[Drift, ...]:
    """Each thing of the ledger (`made`) that was looked at and is another than it was left.

    What is already as it shall be, or is gone and not wanted any more, is no news.
    """
    found = []
    for which, digest in made.items():
        if which not in observed or not digest:
            continue
        now, wanted = observed[which], desired.get(which)
        if now != wanted and (now is None or state_digest(now) != digest):
            left = wanted if wanted is not None and state_digest(wanted) == digest else None
            found.append(Drift(which, _difference(now, left)))
    return tuple(found)


def kept(
    desired: Mapping[Key, State], observed: Mapping[Key, State | None], keys: Iterable[Key]
) -> dict[Key, State]:
    """What shall be when the things of these keys stay as they are, gone ones included.

    What needs or loads them is still ordered after them.
    """
    states = dict(desired)
    for which in keys:
        now = observed.get(which)
        if now is None:
            states.pop(which, None)
        elif which in states:
            states[which] = replace(now, needs=states[which].needs, loads=states[which].loads)
        else:
            states[which] = now
    return states


def _difference(now: State | None, left: State | None) -> str:
    if now is None:
        return "removed"
    if left is None or type(left) is not type(now):
        return "changed"
    names = [one.name for one in fields(now) if one.compare]
    return ", ".join(
        _said(name, getattr(now, name), getattr(left, name))
        for name in names
        if getattr(now, name) != getattr(left, name)
    )


def _said(name: str, now: object, left: object) -> str:
    if name == "mode":
        return f"mode {now:04o} instead of {left:04o}"
    if name == "owner":
        return f"owner {now} instead of {left}"
    return _WORDS.get(name, name)
