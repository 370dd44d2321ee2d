"""Why there is a new generation, in words that give no secret away."""

from __future__ import annotations

from dataclasses import replace

from hostel.server.desired import recorded
from hostel.server.reasons import Reason, reasons

from .samples import setting, site

MADE = "2026-01-01T00:00:00+00:00"


def test_each_difference_is_named_with_both_sides() -> None:
    live = recorded(setting(), MADE)
    new = replace(setting(site(server={"threads": 4})), threads=4)
    found = reasons(live, new, ())
    assert Reason("threads", "8", "4") in found
    assert Reason("server.threads", "none", "4") in found


def test_a_secret_variable_shows_that_it_changes_and_no_more() -> None:
    live = recorded(setting(), MADE)
    new = replace(setting(), env={"GREETING": "bye", "API_KEY": "0ther"})
    said = reasons(live, new, ())
    assert [one.what for one in said] == ["env API_KEY", "env GREETING"]
    assert "s3cret" not in repr(said)
    assert "0ther" not in repr(said)


def test_what_the_store_keeps_is_masked_whatever_it_is_called() -> None:
    live = recorded(setting(), MADE)
    new = replace(setting(), env={"GREETING": "plain words", "API_KEY": "s3cret"})
    assert "plain words" not in repr(reasons(live, new, ("GREETING",)))


def test_where_nothing_of_the_site_differs_it_is_hostel_itself() -> None:
    assert [one.what for one in reasons(recorded(setting(), MADE), setting(), ())] == ["Hostel"]


def test_a_first_generation_says_what_it_brings() -> None:
    assert [one.what for one in reasons(None, setting(), ())] == ["release", "names", "variables"]
