"""Rolling back leads to what was live before, further back each time, never to what was left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.server.desired import recorded
from hostel.server.generations import Built, Generation
from hostel.server.history import before, hooks_since, named

from .samples import setting, site

MADE = "2026-01-01T00:00:00+00:00"


def generation(number: int, release: str, of: int | None = None, hook: str = "") -> Generation:
    draft = setting(site(hooks={"release": [hook]} if hook else {}))
    built = Built(release, "/v", "/m.so", "3.11.2")
    made = replace(draft, number=number, of=of, release=built)
    return recorded(made, MADE)


def history(*found: Generation) -> dict[int, Generation]:
    return {one.number: one for one in found}


def test_the_one_before_is_what_was_live_before() -> None:
    known = history(generation(1, "aaaa"), generation(2, "bbbb"), generation(3, "cccc"))
    assert before(3, known) == known[2]


def test_a_second_rollback_leads_further_back() -> None:
    known = history(*(generation(number, f"{number}aaa") for number in (1, 2, 3)))
    known[4] = generation(4, "2aaa", of=2)
    assert before(4, known) == known[1]
    known[5] = generation(5, "1aaa", of=1)
    assert before(5, known) is None


def test_after_a_rollback_and_another_apply_nothing_leads_to_what_was_left() -> None:
    known = history(generation(1, "good"), generation(2, "well"), generation(3, "bad0"))
    known[4] = generation(4, "well", of=2)
    known[5] = generation(5, "new0")
    found = before(5, known)
    assert found is not None
    assert found.release.id == "well"
    known[6] = generation(6, "well", of=2)
    assert before(6, known) == known[1]


def test_a_renewed_certificate_alone_is_no_step_back() -> None:
    old, first = generation(1, "aaaa"), generation(2, "bbbb")
    renewed = recorded(
        setting(number=3, certificate=2, release=Built("bbbb", "/v", "/m.so", "3.11.2")), MADE
    )
    assert before(3, history(old, first, renewed)) == old


def test_what_is_not_kept_any_more_is_passed_over() -> None:
    assert before(9, history(generation(9, "aaaa"))) is None
    known = history(generation(2, "aaaa"), generation(9, "bbbb"))
    assert before(9, known) == known[2]


@given(st.lists(st.booleans(), max_size=20))
def test_rolling_back_again_and_again_comes_to_an_end(steps: list[bool]) -> None:
    """Whatever was applied and rolled back before."""
    known = history(generation(1, "r1"))
    for number, applies in enumerate(steps, 2):
        to = None if applies else before(number - 1, known)
        known[number] = (
            generation(number, f"r{number}")
            if to is None
            else generation(number, to.release.id, of=to.of or to.number)
        )
    live, seen = max(known), [known[max(known)].release.id]
    while (to := before(live, known)) is not None:
        live += 1
        known[live] = generation(live, to.release.id, of=to.of or to.number)
        assert to.release.id not in seen
        seen.append(to.release.id)
    assert seen[-1] == "r1"


def test_a_generation_is_named_by_its_number_or_by_its_release() -> None:
    known = history(generation(1, "12ab"), generation(2, "34cd"), generation(12, "34cd", of=2))
    assert named("2", known) == known[2]
    assert named("12", known) == known[12]
    assert named("12a", known) == known[1]
    assert named("34", known) == known[12]


@pytest.mark.parametrize(("wanted", "said"), [("7", "is kept"), ("", "is kept"), ("a", "could be")])
def test_what_is_unknown_or_could_be_several_is_said(wanted: str, said: str) -> None:
    known = history(generation(1, "abcd"), generation(2, "acdc"))
    with pytest.raises(ValueError, match=said):
        named(wanted, known)


def test_what_release_hooks_did_since_is_told_once_for_each_release() -> None:
    known = history(
        generation(1, "aaaa", hook="migrate"),
        generation(2, "bbbb", hook="migrate"),
        generation(3, "aaaa", of=1, hook="migrate"),
        generation(4, "cccc"),
        generation(5, "dddd", hook="migrate"),
    )
    found = hooks_since(known[3], known.values())
    assert found == {"bbbb": "migrate", "dddd": "migrate"}
    assert hooks_since(known[5], known.values()) == {}
