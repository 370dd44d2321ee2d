"""Order, difference and undo, on small worlds and on random ones."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.plan import Change, Key, State, order, plan, undo


@dataclass(frozen=True, kw_only=True)
class Thing(State):
    value: int = 0


def k(name: str) -> Key:
    return Key(f"thing:{name}")


def test_nothing_to_do_is_an_empty_plan() -> None:
    world = {k("a"): Thing(value=1)}
    assert not plan(world, dict(world))


def test_what_is_needed_is_made_first() -> None:
    made = plan({k("a"): Thing(needs=(k("b"),)), k("b"): Thing()}, {})
    assert [change.key for change in made.changes] == [k("b"), k("a")]


def test_what_nobody_wants_is_removed_and_its_user_goes_before_it() -> None:
    observed: dict[Key, State | None] = {k("b"): Thing(), k("a"): Thing(needs=(k("b"),))}
    gone = plan({}, observed)
    assert not gone.changes
    assert [change.key for change in gone.removals] == [k("a"), k("b")]


def test_relations_are_no_difference() -> None:
    assert not plan({k("a"): Thing(needs=(k("b"),))}, {k("a"): Thing()})


def test_undo_puts_files_back_before_the_server_reads_them() -> None:
    conf = Change(k("conf"), Thing(value=1), Thing(value=2))
    server = Change(k("server"), Thing(value=1), Thing(value=2, loads=(k("conf"),)))
    assert [c.key for c in undo([conf, server])] == [k("conf"), k("server")]
    assert undo([conf])[0].after == Thing(value=1)


def test_undo_of_a_creation_stops_the_user_before_what_it_used() -> None:
    cluster = Change(k("cluster"), None, Thing())
    server = Change(k("server"), None, Thing(needs=(k("cluster"),)))
    assert [c.key for c in undo([cluster, server])] == [k("server"), k("cluster")]


def test_a_circle_is_named() -> None:
    circle = {k("a"): Thing(needs=(k("b"),)), k("b"): Thing(needs=(k("a"),))}
    with pytest.raises(ValueError, match="circle"):
        plan(circle, {})


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[Key, State], dict[Key, State | None]]:
    names = [k(str(number)) for number in range(draw(st.integers(1, 7)))]

    def world() -> dict[Key, State]:
        return {
            which: Thing(
                value=draw(st.integers(0, 2)),
                needs=tuple(draw(st.sets(st.sampled_from(names[:index])))) if index else (),
            )
            for index, which in enumerate(names)
            if draw(st.booleans())
        }

    return world(), dict(world())


@given(worlds())
def test_a_plan_leads_from_any_world_to_any_other_and_undo_leads_back(
    both: tuple[dict[Key, State], dict[Key, State | None]],
) -> None:
    desired, observed = both
    steps = plan(desired, observed)
    world = dict(observed)
    done = [*steps.changes, *steps.removals]
    for change in done:
        assert world.get(change.key) == change.before
        world[change.key] = change.after
    assert {which: state for which, state in world.items() if state is not None} == desired
    for change in undo(done):
        assert world.get(change.key) == change.before
        world[change.key] = change.after
    assert {w: s for w, s in world.items() if s} == {w: s for w, s in observed.items() if s}


@given(worlds())
def test_order_never_uses_what_is_not_there_yet(
    both: tuple[dict[Key, State], dict[Key, State | None]],
) -> None:
    desired, _ = both
    seen: set[Key] = set()
    for change in order([Change(which, None, state) for which, state in desired.items()]):
        assert change.after is not None
        assert set(change.after.needs) & set(desired) <= seen
        seen.add(change.key)
