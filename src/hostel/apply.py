"""Carries out a plan, the only place that changes anything; undoes it whole if a step fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from hostel.errors import HalfUndone, HostelError, RolledBack
from hostel.interrupts import Interrupted, held_back
from hostel.journal import Journal
from hostel.machine import Machine, remedy_for
from hostel.plan import Change, Key, Plan, State, kind_of, name_of, relations, undo
from hostel.resources import Lasting, OneWay, Resource

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

    def found(self, change: Change) -> None:
        """The change need not be made: it is so already."""

    def clear(self, change: Change) -> None:
        """Make a removal that an earlier run was at, unless it is another thing by now."""
        if self.observe(change.key) in (None, change.before):
            self.enact(change)  # Nothing to see may be half of something.

    def put_back(self, change: Change) -> None:
        """Make a change that leads back, also from half of what was begun."""
        resource = self.resources[kind_of(change.key)]
        if isinstance(resource, OneWay):
            # What ran has run; no longer remembered, it runs again when it is wanted again.
            resource.recall(change.key, change.after, self.machine)
            return
        if change.after is None:
            # Also where nothing is seen: it may still be half of something, such as a killed start.
            self.enact(change)
            if isinstance(resource, Lasting):
                resource.await_end(change.key, self.machine)
            return
        now = self.observe(change.key)
        if now == change.after:
            self.found(change)
        else:
            self.enact(Change(change.key, now, change.after))


def apply(plan: Plan, world: World, journal: Journal, verify: Callable[[], None], say: Say) -> None:
    """Make every change of the plan, verify the whole, then remove what is no longer wanted.

    Raises RolledBack with the cause once everything is as it was, and Interrupted for Ctrl-C after
    the same undo; HalfUndone where that did not work out.
    """
    begun: list[Change] = []
    try:
        for change in plan.changes:
            say(change)
            _step(change, world, journal, begun)
        verify()
        with held_back():  # Either it is verified, or it is undone.
            journal.verified(plan.removals)
    except BaseException as error:
        _give_up(error, begun, world, journal)
    try:
        for change in plan.removals:
            say(change)
            _step(change, world, journal, begun)
    except KeyboardInterrupt as error:
        rest = "what is left to clear away is cleared away by the next run of the same command"
        raise Interrupted(rest) from error
    journal.end()


def recover(world: World, journal: Journal) -> Sequence[Change]:
    """Undo what a killed run had begun; returns those changes, none if there was no such run.

    Of one that was killed while it cleared away, the rest is cleared away. What withstands is left
    to the plans of those whose it is.
    """
    with held_back() as held:
        for change in journal.clearing():
            with contextlib.suppress(HostelError):
                world.clear(change)
        begun = journal.pending()
        _put_back(begun, world, journal)
    if held.came:
        raise Interrupted("what an earlier run had begun was undone, and nothing else was done")
    return begun


def _step(change: Change, world: World, journal: Journal, begun: list[Change]) -> None:
    now = world.observe(change.key)
    if now == change.after:
        # Somebody was here first, or it was seen wrongly while a server was down.
        world.found(change)
        return
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


def _give_up(
    error: BaseException, begun: Sequence[Change], world: World, journal: Journal
) -> NoReturn:
    """Undo what was begun and raise what that leaves of the error."""
    cause = _told(error, begun) if isinstance(error, OSError) else error
    try:
        with held_back():
            _put_back(begun, world, journal)
    except Exception as trouble:
        raise _half_undone(cause, trouble) from error
    if isinstance(cause, KeyboardInterrupt):
        raise Interrupted("what it had begun was undone") from error
    if isinstance(cause, HostelError):
        raise RolledBack(cause.doing, cause.happened, cause.remedy, cause.detail) from error
    raise cause


def _put_back(begun: Sequence[Change], world: World, journal: Journal) -> None:
    """Undo them as far as it goes. What cannot be undone keeps what it stands on, the rest goes.

    Then the first trouble is raised, and the journal stays for the next run.
    """
    journal.make_room()
    first: Exception | None = None
    stuck: set[Key] = set()
    for change in undo(begun):
        if change.key not in stuck:
            try:
                world.put_back(change)
                continue
            except OSError as error:
                first = first or _told(error, [change])
            except Exception as error:
                first = first or error
        stuck |= relations(change)
    if first is not None:
        raise first
    journal.end()


def _told(error: OSError, at: Sequence[Change]) -> HostelError:
    """An error of the operating system, as a person should read it."""
    doing = f"changing the {kind_of(at[-1].key)} {name_of(at[-1].key)}" if at else "beginning"
    where = f"{error.filename}: " if error.filename else ""
    return HostelError(doing, f"{where}{error.strerror or error}", remedy_for(error))


def _half_undone(error: BaseException, trouble: Exception) -> HalfUndone:
    """Both what went wrong first and what kept it from being undone."""
    undoing = trouble if isinstance(trouble, HostelError) else HostelError("undoing", str(trouble))
    if not isinstance(error, HostelError):
        error = HostelError("running", "it was interrupted" if not str(error) else str(error))
    remedy = undoing.remedy or error.remedy
    return HalfUndone(
        error.doing,
        error.happened,
        f"{remedy} Then run the same command again: it first undoes the rest.".strip(),
        "\n".join(filter(None, [error.detail, f"and undoing it failed: {undoing}"])),
    )
