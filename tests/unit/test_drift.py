"""What a person changed by hand is told apart from what is only out of date."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.drift import Drift, drifts, kept, state_digest
from hostel.plan import Key, State, key, plan
from hostel.resources.folder import FolderState
from hostel.resources.package import PackagesState
from hostel.resources.user import UserState
from hostel.states import Done, FileState

FILE, OTHER = key("file", "/a"), key("file", "/b")
LEFT = FileState.of(b"left", mode=0o440, owner="root:root")


def made(state: State) -> dict[Key, str]:
    return {FILE: state_digest(state)}


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (FileState.of(b"x", mode=0o440, owner="root:root"), "content"),
        (FileState.of(b"left", mode=0o666, owner="root:root"), "mode 0666 instead of 0440"),
        (FileState.of(b"left", mode=0o440, owner="eve:eve"), "owner eve:eve instead of root:root"),
        (FileState.of(b"x", mode=0o4755, owner="root:root"), "content, mode 4755 instead of 0440"),
        (None, "removed"),
        (Done(digest="another kind"), "changed"),
    ],
)
def test_drift_says_what_is_another(now: State | None, what: str) -> None:
    assert drifts(made(LEFT), {FILE: now}, {FILE: LEFT}) == (Drift(FILE, what),)


def test_what_is_as_it_was_left_is_no_drift_even_if_it_shall_be_another() -> None:
    wanted = FileState.of(b"new", mode=0o440, owner="root:root")
    assert drifts(made(LEFT), {FILE: LEFT}, {FILE: wanted}) == ()
    assert drifts(made(LEFT), {FILE: LEFT}, {}) == ()


def test_a_hand_edit_is_seen_even_if_it_shall_be_another_and_is_not_compared_with_that() -> None:
    wanted = FileState.of(b"new", mode=0o440, owner="root:root")
    now = FileState.of(b"by hand", mode=0o444, owner="root:root")
    assert drifts(made(LEFT), {FILE: now}, {FILE: wanted}) == (Drift(FILE, "changed"),)


def test_what_is_as_it_shall_be_or_gone_as_it_shall_be_is_no_drift() -> None:
    wanted = FileState.of(b"new", mode=0o440, owner="root:root")
    assert drifts(made(LEFT), {FILE: wanted}, {FILE: wanted}) == ()
    assert drifts(made(LEFT), {FILE: None}, {}) == ()


def test_what_is_not_of_the_ledger_or_not_settled_or_not_looked_at_is_no_drift() -> None:
    now = FileState.of(b"by hand", mode=0o440, owner="root:root")
    assert drifts({}, {FILE: now}, {FILE: LEFT}) == ()
    assert drifts({FILE: ""}, {FILE: now}, {FILE: LEFT}) == ()
    assert drifts(made(LEFT), {}, {FILE: LEFT}) == ()


ALL: list[State] = [
    LEFT,
    FolderState(mode=0o750, owner="root:root"),
    UserState.of("hostel-shop", "/srv"),
    PackagesState(names=("b", "a")),
    Done(digest="x"),
]


@pytest.mark.parametrize("state", ALL, ids=lambda state: type(state).__name__)
def test_equal_states_have_equal_digests_and_relations_do_not_count(state: State) -> None:
    assert state_digest(replace(state, needs=(OTHER,))) == state_digest(state)
    assert len({state_digest(one) for one in ALL}) == len(ALL)


@given(st.binary(), st.integers(0, 0o7777), st.text(), st.binary(), st.integers(0, 0o7777))
def test_files_have_equal_digests_exactly_if_they_are_equal(
    one: bytes, mode: int, owner: str, other: bytes, other_mode: int
) -> None:
    first = FileState.of(one, mode=mode, owner=owner)
    second = FileState.of(other, mode=other_mode, owner=owner)
    assert (state_digest(first) == state_digest(second)) == (first == second)


def test_what_a_person_keeps_is_in_no_plan_and_the_rest_is() -> None:
    by_hand = FileState.of(b"by hand", mode=0o444, owner="eve:eve")
    wanted: dict[Key, State] = {
        FILE: replace(LEFT, needs=(OTHER,)),
        OTHER: LEFT,
        key("file", "/gone"): LEFT,
    }
    observed = {FILE: by_hand, OTHER: None, key("file", "/gone"): None, key("file", "/old"): LEFT}
    stays = (FILE, key("file", "/gone"), key("file", "/old"), key("file", "/unknown"))
    states = kept(wanted, observed, stays)
    steps = plan(states, observed)
    assert [change.key for change in steps.changes] == [OTHER]
    assert steps.removals == ()
    assert states[FILE].needs == (OTHER,)
