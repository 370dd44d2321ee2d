"""What should be on a server, in the order in which it comes to be."""

from __future__ import annotations

from dataclasses import replace

from hostel.plan import Key, plan
from hostel.resources.folder import FolderState
from hostel.resources.route import route_key
from hostel.resources.service import service_key
from hostel.resources.user import user_key
from hostel.server.desired import (
    check_key,
    generation_keys,
    hook_key,
    probe_key,
    site_states,
)
from hostel.server.setting import Setting
from hostel.states import FileState, file_key

from .samples import setting, site

MADE = "2026-01-01T00:00:00+00:00"


def order(of: Setting, *, checked: bool = True) -> list[Key]:
    return [change.key for change in plan(site_states(of, MADE, checked=checked), {}).changes]


def test_the_app_is_tried_before_it_starts_and_asked_before_anybody_is_led_to_it() -> None:
    of = setting(site(hooks={"release": "python migrate.py"}))
    keys = order(of)
    steps = [
        user_key("hostel-shop"),
        check_key("shop"),
        hook_key("shop"),
        service_key(of.unit),
        probe_key("shop"),
        route_key("shop"),
        file_key(of.places.record),
    ]
    assert [which for which in keys if which in steps] == steps


def test_a_rollback_runs_neither_check_nor_hook() -> None:
    keys = order(setting(site(hooks={"release": "python migrate.py"})), checked=False)
    assert check_key("shop") not in keys
    assert hook_key("shop") not in keys


def test_workers_and_jobs_start_after_the_switch() -> None:
    of = setting(
        site(
            workers={"mail": {"command": "python mail.py", "count": 2}},
            cron={"nightly": {"schedule": "0 3 * * *", "command": "python night.py"}},
        )
    )
    keys = order(of)
    switched = keys.index(file_key(of.places.record))
    services = [which for which in keys if which.startswith("service:hostel-worker@shop-7.mail")]
    assert len(services) == 2
    timer = service_key("hostel-cron@shop.nightly.timer")
    assert all(keys.index(which) > switched for which in (*services, timer))


def test_secrets_are_readable_for_root_and_the_site_alone() -> None:
    states = site_states(setting(), MADE, checked=True)
    secret = [state for state in states.values() if getattr(state, "secret", False)]
    assert len(secret) == 2
    assert all(isinstance(state, FileState) and not state.mode & 0o007 for state in secret)
    home = states[Key("folder:/srv/hostel/shop")]
    assert isinstance(home, FolderState)
    assert (home.mode, home.owner) == (0o750, "root:hostel-shop")


def test_a_site_without_tls_has_no_certificate() -> None:
    states = site_states(replace(setting(), certificate=0), MADE, checked=True)
    assert not [which for which in states if which.startswith("certificate:")]


def test_all_that_is_a_generations_own_is_found_again_for_its_removal() -> None:
    of = setting()
    states = site_states(of, MADE, checked=True)
    own = {
        which
        for which, state in states.items()
        if isinstance(state, FileState | FolderState)
        and ("/7/" in f"{which}/" or "-7.service" in which or which.endswith("/7.json"))
    }
    assert own == set(generation_keys(of.places, 7))
