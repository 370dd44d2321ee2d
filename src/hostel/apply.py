"""Carries out a plan, the only place that changes anything; undoes it whole if a step fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hostel.errors import HostelError, RolledBack
from hostel.journal import Journal
from hostel.machine import Machine
from hostel.plan import Change, Key, Plan, State, kind_of, undo
from hostel.resources import OneWay, Resource

Say = Callable[[Change], None]


class World:
    """The resources of one site on one machine, by kind."""

    def __init__(self, resources: Mapping[str, Resource], machine: Machine) -> None:
        self.resources = resources
        self.machine = machine

    def observe(self, which: Key) -> State | None:
        return self.resources[kind_of(which)].observe(which, self.machine)

    def enact(self, change: Change) -> None:
        self.resources[kind_of(change.key)].enact(change, self.machine)

    def recall(self, which: Key, former: State | None) -> bool:
        """For what cannot be undone, such as a migration that has run: only remember what was
        done before it. False for all else, whose reverse is enacted."""
        resource = self.resources[kind_of(which)]
        if not isinstance(resource, OneWay):
            return False
        resource.recall(which, former, self.machine)
        return True


def apply(plan: Plan, world: World, journal: Journal, verify: Callable[[], None], say: Say) -> None:
    """Make every change of the plan, verify the whole, then remove what is no longer wanted.

    Raises RolledBack with the cause once everything is as it was, and lets Ctrl-C through after
    the same undo.
    """
    begun: list[Change] = []
    try:
        for change in plan.changes:
            say(change)
            _step(change, world, journal, begun)
        verify()
    except BaseException as error:
        _put_back(begun, world, journal)
        if isinstance(error, HostelError):
            raise _rolled_back(error) from error
        raise
    journal.verified()
    for change in plan.removals:
        say(change)
        _step(change, world, journal, begun)
    journal.end()


def recover(world: World, journal: Journal) -> Sequence[Change]:
    """Undo what a killed run had begun; returns those changes, none if there was no such run."""
    begun = journal.pending()
    _put_back(begun, world, journal)
    return begun


def _step(change: Change, world: World, journal: Journal, begun: list[Change]) -> None:
    now = world.observe(change.key)
    if now == change.after:
        return  # Somebody was here first, or it was seen wrongly while a server was down.
    if now != change.before:
        raise HostelError(
            f"changing {change.key}",
            "it was changed by something else meanwhile",
            "Run the same command again: it looks anew.",
        )
    journal.begun(change)
    begun.append(change)
    world.enact(change)
    if world.observe(change.key) != change.after:
        raise HostelError(
            f"changing {change.key}",
            "it was done without an error, and is still not as it should be",
            "Run the same command again; if that does not help, this is a bug of Hostel.",
        )


def _put_back(begun: Sequence[Change], world: World, journal: Journal) -> None:
    for change in undo(begun):
        # What ran has run; no longer remembered, it runs again when it is wanted again.
        if world.recall(change.key, change.after):
            continue
        now = world.observe(change.key)
        if now != change.after:
            world.enact(Change(change.key, now, change.after))
        elif now is None:
            # Nothing to see may still be half of something: a killed start, a half-made folder.
            world.enact(change)
    journal.end()


def _rolled_back(error: HostelError) -> RolledBack:
    return RolledBack(error.doing, error.happened, error.remedy, error.detail)
