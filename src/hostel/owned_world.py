"""A world in which only what the ledger knows as Hostel's own is changed or removed.

What was there before and is already as wanted is used as it is, and never becomes Hostel's.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Protocol, runtime_checkable

from hostel.apply import World
from hostel.drift import state_digest
from hostel.errors import HostelError
from hostel.ledger import Ledger
from hostel.machine import Machine
from hostel.plan import Change, Key, Plan, State, kind_of, name_of
from hostel.resources import Resource

OWN_NOTES = frozenset({"once", "hook"})
"""Kinds that only remember what was done, in notes that nobody else has a use for."""


@runtime_checkable
class Composed(Protocol):
    """A kind whose state is a set of things, some of which may be others'; it asks the ledger
    itself which it may remove."""

    def parts(self, state: State | None) -> Mapping[Key, State]:
        """The things that a state consists of, each as the ledger shall remember it."""


class OwnedWorld(World):
    """The resources of one site, or of the machine, with the ledger of what was made of them."""

    def __init__(
        self,
        resources: Mapping[str, Resource],
        machine: Machine,
        ledger: Ledger,
        free: Set[str] = OWN_NOTES,
    ) -> None:
        super().__init__(resources, machine)
        self.ledger = ledger
        self.free = free
        self._former: dict[tuple[Key, str], str] = {}

    def check(self, plan: Plan) -> None:
        """Refuse a plan that would change what is not Hostel's, before anything is done."""
        for change in (*plan.changes, *plan.removals):
            self._refuse_foreign(change)

    def enact(self, change: Change) -> None:
        if kind_of(change.key) in self.free:
            super().enact(change)
            return
        self._refuse_foreign(change)
        before, after = self._parts(change, change.before), self._parts(change, change.after)
        gone = [which for which in before if which not in after]
        coming = [which for which in after if which not in before]
        if coming:
            self.ledger.begin(*coming)
        known = self.ledger.digests
        super().enact(change)
        if change.before is not None and known.get(change.key):
            self._former[change.key, state_digest(change.before)] = known[change.key]
        settled = {
            which: state_digest(state)
            for which, state in after.items()
            if which in known  # What was there before, as a part, stays somebody else's.
        }
        if change.after is not None:
            # Undo leads back to what a person had changed: that is still not as it was left.
            digest = state_digest(change.after)
            settled[change.key] = self._former.get((change.key, digest), digest)
        self.ledger.settle(settled)
        if gone:
            self.ledger.forget(*gone)

    def found(self, change: Change) -> None:
        """Remember it so; what went with something else is remembered no longer."""
        if self._is_shared(change.key):
            return
        if change.after is None:
            self.ledger.forget(change.key)
        elif change.before and self.ledger.digests.get(change.key) == state_digest(change.before):
            # A kill came between the thing and the ledger.
            self.ledger.settle({change.key: state_digest(change.after)})

    def clear(self, change: Change) -> None:
        """What the ledger does not know any more is gone, or is somebody else's."""
        known = self.ledger.owns(change.key)
        if known or (self._is_shared(change.key) and self.observe(change.key) is not None):
            super().clear(change)

    def put_back(self, change: Change) -> None:
        """A kill may have come before anything was made; what is there then is somebody else's."""
        never_made = change.after is None and not self.ledger.owns(change.key)
        if not (never_made and not self._is_shared(change.key)):
            super().put_back(change)

    def _is_shared(self, which: Key) -> bool:
        """Whether it is no one thing that only Hostel could have made."""
        kind = kind_of(which)
        return kind in self.free or isinstance(self.resources[kind], Composed)

    def _parts(self, change: Change, state: State | None) -> dict[Key, State]:
        resource = self.resources[kind_of(change.key)]
        parts = dict(resource.parts(state)) if isinstance(resource, Composed) else {}
        return parts if state is None else {change.key: state, **parts}

    def _refuse_foreign(self, change: Change) -> None:
        if self._is_shared(change.key):
            return
        if change.before is None or self.ledger.owns(change.key):
            return
        if self.observe(change.key) is None:
            return  # A kill came before anything was made.
        kind, name = kind_of(change.key), name_of(change.key)
        raise HostelError(
            f"{'removing' if change.after is None else 'changing'} the {kind} {name}",
            "it was here already, and Hostel did not make it",
            "See what it is and who needs it. Hostel changes only what it made itself: rename it "
            "or move it away, then run the same command again.",
        )
