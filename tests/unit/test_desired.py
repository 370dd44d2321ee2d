"""What a site should be: what each decision changes, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.account import Account
from hostel.desired import (
    CHECK,
    HOOK,
    INSTANCE,
    Code,
    Wanted,
    Web,
    app_file,
    boot_json,
    desired,
    generation,
)
from hostel.plan import Key, State, order, plan
from hostel.platforms.layout import Layout
from hostel.resources.role import RoleState, role_key
from hostel.site import Site
from hostel.states import Done, FileState, InstanceState, file_key

STATE = Path("/srv/shop/.hostel")
CODE = STATE / "releases/1/code"
RUNNER = Account("www-data", 33, 33, Path("/var/www"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def site(**more: Any) -> Site:
    return Site(name="shop", app="shop.wsgi:application", **more)


def wanted(**more: Any) -> Wanted:
    values: dict[str, Any] = {
        "site": site(),
        "layout": Layout(STATE, STATE / "run"),
        "runner": RUNNER,
        "web": Web(Path("/a2"), Path("/m"), frozenset(), ("127.0.0.1",), 8080, 8443, b"PEM SECRET"),
        "code": Code("1", CODE, STATE / "venvs/1", Path("/mod_wsgi.so"), ()),
        "env": {"A": "1"},
        "boot_scripts": {"wsgi.py": b"boot", "load.py": b"load"},
        "processes": 2,
        "threads": 4,
        "database": {},
    }
    return Wanted(**{**values, **more})


def instance(it: Wanted) -> InstanceState:
    state = desired(it)[INSTANCE]
    assert isinstance(state, InstanceState)
    return state


def files(it: Wanted) -> dict[Key, FileState]:
    return {which: one for which, one in desired(it).items() if isinstance(one, FileState)}


def test_another_environment_needs_a_reload_and_no_new_process() -> None:
    one, two = instance(wanted()), instance(wanted(env={"A": "2"}))
    assert one.core == two.core
    assert one.config != two.config
    assert one.boot != two.boot


def test_another_release_needs_a_reload_and_no_new_process() -> None:
    code = replace(wanted().code, release="2", code=STATE / "releases/2/code")
    one, two = instance(wanted()), instance(wanted(code=code))
    assert one.core == two.core
    assert one.config != two.config


@pytest.mark.parametrize(
    "more",
    [
        {"processes": 3},
        {"threads": 5},
        {"web": replace(wanted().web, http_port=80)},
        {"web": replace(wanted().web, https_port=443)},
        {"web": replace(wanted().web, addresses=("127.0.0.1", "::1"))},
        {"web": replace(wanted().web, binary=Path("/other"))},
        {"code": replace(wanted().code, module=Path("/other.so"))},
    ],
    ids=["processes", "threads", "http", "https", "addresses", "binary", "module"],
)
def test_what_httpd_reads_only_at_its_start_needs_a_new_process(more: dict[str, Any]) -> None:
    assert instance(wanted(**more)).core != instance(wanted()).core


def test_another_certificate_needs_a_reload_and_no_new_process() -> None:
    web = replace(wanted().web, certificate=b"another")
    assert instance(wanted(web=web)).core == instance(wanted()).core
    assert instance(wanted(web=web)).config != instance(wanted()).config


def test_the_same_decisions_are_the_same_states() -> None:
    assert not plan(desired(wanted()), {**desired(wanted(env=dict(wanted().env)))})


def test_secrets_lie_in_files_that_only_the_runner_may_read_and_nowhere_else() -> None:
    it = wanted(env={"SECRET_KEY": "sesame"})
    holders = {which for which, one in files(it).items() if b"sesame" in one.content}
    assert holders == {file_key(generation(it) / "boot.json")}
    for state in files(it).values():
        spoken = b"sesame" in state.content or b"PEM SECRET" in state.content
        assert state.secret == spoken
        assert state.mode == (0o400 if spoken else 0o444)
        assert state.owner == RUNNER.owner
    others = [state for state in desired(it).values() if not isinstance(state, FileState)]
    assert "sesame" not in repr(others)
    assert "sesame" not in repr(desired(it)), "not even a state that is printed says it"


def test_a_secret_with_another_content_has_another_name() -> None:
    one = {which for which, state in files(wanted()).items() if state.secret}
    web = replace(wanted().web, certificate=b"another")
    two = {which for which, state in files(wanted(env={}, web=web)).items() if state.secret}
    assert len(one) == len(two) == 2
    assert not one & two


@settings(deadline=None)
@given(st.dictionaries(texts, texts))
def test_boot_json_says_the_environment_as_it_is(env: dict[str, str]) -> None:
    facts = json.loads(boot_json(wanted(env=env)))
    assert facts["env"] == env
    assert facts["app"] == "shop.wsgi:application"
    assert facts["cwd"] == str(CODE)


def test_the_import_path_and_argv_lie_in_the_release() -> None:
    facts = json.loads(boot_json(wanted(site=site(path=("src", ".")))))
    assert facts["path"] == [str(CODE / "src"), str(CODE)]
    assert facts["argv"] == [str(CODE / "shop/wsgi.py")]


@pytest.mark.parametrize(
    ("app", "file"),
    [
        ("app:main", "app.py"),
        ("a.b:make()", "a/b.py"),
        ("deploy/site.wsgi", "deploy/site.wsgi"),
        ("run.py:application", "run.py"),
    ],
)
def test_the_file_of_an_app_is_found_from_its_name(app: str, file: str) -> None:
    assert app_file(Site(name="shop", app=app), CODE) == CODE / file


def test_a_hook_is_wanted_only_where_the_site_has_one_and_again_for_each_release() -> None:
    assert HOOK not in desired(wanted())
    it = wanted(site=site(hooks={"release": "python migrate.py"}))
    hook = desired(it)[HOOK]
    assert isinstance(hook, Done)
    assert desired(replace(it, env={"B": "2"}))[HOOK] == hook
    assert desired(replace(it, code=replace(it.code, release="2")))[HOOK] != hook
    other = replace(it, site=site(hooks={"release": "python other.py"}))
    assert desired(other)[HOOK] != hook


def test_the_hook_runs_after_the_database_and_the_check_and_before_the_switch() -> None:
    role = role_key("shop")
    it = wanted(site=site(hooks={"release": "python migrate.py"}), database={role: RoleState()})
    steps = [change.key for change in plan(desired(it), {}).changes]
    assert steps.index(role) < steps.index(CHECK) < steps.index(HOOK) < steps.index(INSTANCE)
    assert steps[-1] == INSTANCE


def test_the_check_runs_again_for_another_environment_and_not_for_another_port() -> None:
    def check(it: Wanted) -> State:
        return desired(it)[CHECK]

    assert check(wanted(env={"A": "2"})) != check(wanted())
    assert check(wanted(web=replace(wanted().web, http_port=80))) == check(wanted())


def test_without_tls_there_is_no_certificate() -> None:
    web = replace(wanted().web, https_port=0, certificate=None)
    it = wanted(site=site(tls={"mode": "off"}), web=web)
    assert not [which for which in desired(it) if ".pem" in which]


def test_everything_needed_or_loaded_is_wanted_too() -> None:
    states = desired(wanted())
    for state in states.values():
        assert {*state.needs, *state.loads} <= set(states)
    changes = plan(states, {}).changes
    assert [change.key for change in order(changes)] == [change.key for change in changes]
