"""What has to change, and in which order. Pure: touches nothing outside its arguments.

A state describes what one thing is or should be; a plan is the ordered difference between two
sets of states. Undo is planned by the same ordering, not popped from a stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import NewType

Key = NewType("Key", str)
"""`kind:name`; the kind says which resource observes and enacts it."""


def key(kind: str, name: object) -> Key:
    return Key(f"{kind}:{name}")


def kind_of(which: Key) -> str:
    return which.partition(":")[0]


def name_of(which: Key) -> str:
    return which.partition(":")[2]


@dataclass(frozen=True, kw_only=True)
class State:
    """What a resource is or should be; each kind of resource adds its own fields.

    `needs` must exist while this exists. `loads` is read by this when it starts or reloads: the
    state holds a digest of what it read, so that a reload is an ordinary difference. Neither
    takes part in comparison, since neither can be observed.
    """

    needs: tuple[Key, ...] = field(default=(), compare=False)
    loads: tuple[Key, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Change:
    """One step from what is to what shall be; None means absent."""

    key: Key
    before: State | None
    after: State | None

    @property
    def verb(self) -> str:
        if self.before is None:
            return "create"
        return "remove" if self.after is None else "change"

    @property
    def reverse(self) -> Change:
        return Change(self.key, self.after, self.before)


@dataclass(frozen=True)
class Plan:
    """Changes in the order in which they are made; `removals` wait until the rest is verified."""

    changes: tuple[Change, ...]
    removals: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes or self.removals)


def plan(desired: Mapping[Key, State], observed: Mapping[Key, State | None]) -> Plan:
    """The difference between two worlds.

    `observed` says of each key what is there now; a key in it that nobody desires is removed.
    """
    changes = [
        Change(which, observed.get(which), desired.get(which))
        for which in dict.fromkeys([*desired, *observed])
        if observed.get(which) != desired.get(which)
    ]
    ordered = order(changes)
    return Plan(
        tuple(change for change in ordered if change.after is not None),
        tuple(change for change in ordered if change.after is None),
    )


def undo(done: Iterable[Change]) -> tuple[Change, ...]:
    """The changes that lead back, ordered as any others: files are back before their readers."""
    return order([change.reverse for change in done])


def order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Sort: what is needed or loaded comes first, what goes away comes last, users before used."""
    by_key = {change.key: change for change in changes}
    builds = {which: change for which, change in by_key.items() if change.after is not None}
    removals = {which: change for which, change in by_key.items() if change.after is None}
    return (
        *(builds[which] for which in _sorted(builds)),
        *(removals[which] for which in reversed(_sorted(removals))),
    )


def relations(change: Change) -> set[Key]:
    """All that either side of a change needs or loads."""
    sides = [state for state in (change.before, change.after) if state is not None]
    return {which for state in sides for which in (*state.needs, *state.loads)}


def _sorted(changes: Mapping[Key, Change]) -> list[Key]:
    graph = {which: relations(change) & set(changes) for which, change in changes.items()}
    sorter = TopologicalSorter(graph)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise ValueError(f"states need each other in a circle: {error.args[1]}") from error
