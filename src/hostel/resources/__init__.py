"""The kinds of things Hostel manages, one module a kind.

A kind knows how to observe its state and how to enact a change of it, and nothing else: what
should be is decided in `hostel.desired`, order in `hostel.plan`, undo in `hostel.apply`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hostel.machine import Machine
from hostel.plan import Change, Key, State


class Resource(Protocol):
    """One kind of resource, bound to whatever it must know to find its things."""

    def observe(self, which: Key, machine: Machine) -> State | None:
        """What is there now; None where there is nothing."""

    def enact(self, change: Change, machine: Machine) -> None:
        """Make `change.after` true, from `change.before` or a half-made attempt at it.

        Must be safe to repeat: it is run again on whatever an earlier, killed run left.
        """


@runtime_checkable
class OneWay(Protocol):
    """A kind whose changes cannot be undone, only no longer remembered."""

    def recall(self, which: Key, former: State | None, machine: Machine) -> None:
        """Remember `former` as what was done last, doing nothing."""


@runtime_checkable
class Lasting(Protocol):
    """A kind whose things go on ending for a while after they are gone for all that matters."""

    def await_end(self, which: Key, machine: Machine) -> None:
        """Return when what it stood on may go."""
