"""A record holds all that its generation was made of, and gives it back exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.platforms.debian import ServerPlaces, SitePlaces
from hostel.server.desired import recorded
from hostel.server.generations import Live, all_of, encoded, encoded_live, live_of
from hostel.site import Site

from .samples import setting, site

MADE = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def places(tmp_path: Path) -> SitePlaces:
    found = ServerPlaces(var=tmp_path).site("shop")
    found.generation_record(1).parent.mkdir(parents=True)
    return found


def test_what_was_written_is_read_again(places: SitePlaces) -> None:
    one = recorded(setting(), MADE)
    places.generation_record(7).write_bytes(encoded(one))
    places.record.write_bytes(encoded_live(Live("shop", 7, "/home/me/shop")))
    assert all_of(places, Machine()) == {7: one}
    assert live_of(places, Machine()) == Live("shop", 7, "/home/me/shop")


def test_generations_come_in_the_order_of_their_numbers(places: SitePlaces) -> None:
    for number in (10, 9, 2):
        of = setting(number=number)
        places.generation_record(number).write_bytes(encoded(recorded(of, MADE)))
    assert list(all_of(places, Machine())) == [2, 9, 10]


def test_a_damaged_record_is_named_and_its_content_is_not_shown(places: SitePlaces) -> None:
    places.record.write_bytes(b'{"version": 1, "s3cret')
    with pytest.raises(HostelError) as raised:
        live_of(places, Machine())
    assert "site.json" in raised.value.doing
    assert "s3cret" not in str(raised.value)


def test_a_site_that_never_was_has_no_record(places: SitePlaces) -> None:
    assert live_of(places, Machine()) is None
    assert all_of(places, Machine()) == {}


def test_every_part_of_a_site_comes_through_its_record() -> None:
    whole = site(
        server={"memory": "512MB", "cpu": 1.5, "listen": ["127.0.0.1"]},
        static={"/static": "static"},
        env={"A": "b"},
        path=["src", "."],
        keep=["db.sqlite3"],
        hooks={"build": "python b.py", "release": ["python", "m.py"]},
        workers={"mail": {"command": "python mail.py", "count": 2, "memory": "64MB"}},
        cron={"night": {"schedule": "@daily", "command": "python n.py", "timezone": "Asia/Tokyo"}},
        health={"path": "/up", "timeout": 5},
        python="3.11",
    )
    assert Site.model_validate(whole.model_dump(mode="json")) == whole


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_every_environment_comes_through_a_record(env: dict[str, str]) -> None:
    import json

    said = json.loads(encoded(recorded(setting(env=env), MADE)))
    assert said["env"] == env
