"""Roles, databases and extensions: hostile names, refusals, and undo that takes back no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hostel import postgres_conf
from hostel.errors import HostelError
from hostel.plan import Change
from hostel.resources.database import Databases, DatabaseState, database_key
from hostel.resources.role import Roles, RoleState, role_key

pytestmark = pytest.mark.system


@pytest.fixture
def up(site: Any) -> Iterator[Any]:
    site.settle()
    return site


def test_a_role_with_too_many_rights_or_a_password_is_put_right_and_back(up: Any) -> None:
    roles, which = Roles(up.admin), role_key(up.role)
    with up.admin.session(up.machine, "altering") as connection:
        connection.execute("ALTER ROLE \"guest-book\" CREATEDB NOLOGIN PASSWORD 'x'")
    odd = roles.observe(which, up.machine)
    assert odd == RoleState(login=False, password=True, rights=("createdb",))
    roles.enact(Change(which, odd, RoleState()), up.machine)
    assert roles.observe(which, up.machine) == RoleState()
    before = RoleState(login=False, rights=("createdb",))
    roles.enact(Change(which, RoleState(), before), up.machine)
    assert roles.observe(which, up.machine) == before


def test_an_open_database_is_closed_and_its_owner_settled(up: Any) -> None:
    databases, which = Databases(up.admin, ()), database_key(up.role)
    with up.admin.session(up.machine, "altering") as connection:
        connection.execute('GRANT CONNECT ON DATABASE "guest-book" TO PUBLIC')
        connection.execute('ALTER DATABASE "guest-book" OWNER TO postgres')
    odd, wanted = databases.observe(which, up.machine), DatabaseState(owner=up.role)
    assert odd == DatabaseState(owner="postgres", closed=False)
    databases.enact(Change(which, odd, wanted), up.machine)
    assert databases.observe(which, up.machine) == wanted
    databases.enact(Change(which, wanted, odd), up.machine)
    assert databases.observe(which, up.machine) == odd


def test_another_role_cannot_even_connect(up: Any) -> None:
    with up.admin.session(up.machine, "making") as connection:
        connection.execute("CREATE ROLE stranger")
        row = connection.execute(
            "SELECT has_database_privilege('stranger', 'guest-book', 'CONNECT, TEMP')"
        ).fetchone()
    assert row == (False,)


def test_an_extension_is_added_kept_while_used_and_taken_back_when_not(up: Any) -> None:
    which, bare = database_key(up.role), DatabaseState(owner=up.role)
    databases = Databases(up.admin, ("citext", "earthdistance"))
    wanted = DatabaseState.of(up.role, ("earthdistance", "citext"), ())
    assert databases.observe(which, up.machine) == bare
    databases.enact(Change(which, bare, wanted), up.machine)
    assert databases.observe(which, up.machine) == wanted
    with up.app() as connection:
        connection.execute("CREATE TABLE users (email citext)")
    databases.enact(Change(which, wanted, bare), up.machine)
    now = databases.observe(which, up.machine)
    assert now == DatabaseState.of(up.role, ("citext",), ())


def test_an_extension_of_the_apps_own_is_nobodys_business(up: Any) -> None:
    with up.app() as connection:
        connection.execute("CREATE EXTENSION hstore")
    databases, which = Databases(up.admin, ()), database_key(up.role)
    assert databases.observe(which, up.machine) == DatabaseState(owner=up.role)


@pytest.mark.parametrize(
    ("name", "happened", "remedy"),
    [
        ("postgis", "has no postgis", "postgresql-{}-postgis-3"),
        ("nosuchthing", "has no nosuchthing", "postgresql-{}-nosuchthing (probably"),
        ("uuid_ossp", "has no uuid_ossp", "Did you mean uuid-ossp?"),
        ("file_fdw", "not trusted", "Leave it out"),
    ],
)
def test_an_extension_that_cannot_be_had_is_explained(
    up: Any, name: str, happened: str, remedy: str
) -> None:
    databases, which = Databases(up.admin, (name,)), database_key(up.role)
    bare, wanted = DatabaseState(owner=up.role), DatabaseState.of(up.role, (name,), ())
    with pytest.raises(HostelError, match=happened) as caught:
        databases.enact(Change(which, bare, wanted), up.machine)
    assert remedy.format(up.installation.major) in caught.value.remedy
    assert databases.observe(which, up.machine) == bare


def test_undo_works_while_the_server_is_down_and_leaves_it_down(up: Any) -> None:
    up.stop()
    for resource, which, wanted in reversed(up.kinds()[2:]):
        resource.enact(Change(which, wanted, None), up.machine)
        assert resource.observe(which, up.machine) is None
    assert up.kinds()[1][0].observe(up.kinds()[1][1], up.machine) is None
    up.start()
    for resource, which, _ in up.kinds()[2:]:
        assert resource.observe(which, up.machine) is None, "asked while it is up"


def test_what_others_changed_while_up_is_remembered_when_down(up: Any) -> None:
    databases, which = Databases(up.admin, ()), database_key(up.role)
    with up.admin.session(up.machine, "dropping") as connection:
        connection.execute('DROP DATABASE "guest-book" WITH (FORCE)')
    assert databases.observe(which, up.machine) is None
    up.stop()
    assert databases.observe(which, up.machine) is None


def test_a_half_dropped_database_is_made_anew(up: Any) -> None:
    """What a DROP DATABASE cut short leaves: there, but PostgreSQL lets nobody in."""
    databases, which = Databases(up.admin, ()), database_key(up.role)
    wanted = DatabaseState(owner=up.role)
    with up.admin.session(up.machine, "breaking") as connection:
        connection.execute(
            "UPDATE pg_catalog.pg_database SET datconnlimit = -2 WHERE datname = 'guest-book'"
        )
    assert databases.observe(which, up.machine) is None
    databases.enact(Change(which, None, wanted), up.machine)
    assert databases.observe(which, up.machine) == wanted


def test_names_that_postgresql_would_cut_are_refused(up: Any) -> None:
    for name in ("x" * 64, "ü" * 32, "", "nul\0"):
        with pytest.raises(HostelError, match="cannot use the name"):
            Roles(up.admin).enact(Change(role_key(name), None, RoleState()), up.machine)


def test_a_reserved_name_is_refused_in_postgresqls_words(up: Any) -> None:
    with pytest.raises(HostelError, match="reserved"):
        Roles(up.admin).enact(Change(role_key("pg_x"), None, RoleState()), up.machine)


hostile = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60
).filter(lambda text: len(text.encode()) <= 63)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=hostile)
@example(name='"; DROP DATABASE "guest-book"; --')
@example(name="%s {} {0}")
@example(name="\\'\n")
def test_hostile_names_are_only_names(up: Any, name: str) -> None:
    if name.startswith("pg_") or name in ("postgres", "public", "none"):
        return
    kinds: list[tuple[Any, Any, Any]] = [
        (Roles(up.admin), role_key(name), RoleState()),
        (Databases(up.admin, ()), database_key(name), DatabaseState(owner=name)),
    ]
    for resource, which, wanted in kinds:
        assert resource.observe(which, up.machine) is None
        resource.enact(Change(which, None, wanted), up.machine)
        assert resource.observe(which, up.machine) == wanted
    for resource, which, wanted in reversed(kinds):
        resource.enact(Change(which, wanted, None), up.machine)
        assert resource.observe(which, up.machine) is None
    for resource, which, wanted in up.kinds()[2:]:
        assert resource.observe(which, up.machine) == wanted


one_line = hostile.filter(lambda text: not set(text) & set("\n\r"))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(user=one_line, role=one_line.filter(lambda text: text[0] != "/"))
@example(user="all", role="all")
@example(user="+x", role="+x")
@example(user="@x", role="@x")
@example(user='a" b "c', role='" # "')
@example(user="ends\\", role="ends\\")
def test_postgresql_reads_pg_ident_as_it_was_meant(up: Any, user: str, role: str) -> None:
    (up.data / "pg_ident.conf").write_text(postgres_conf.ident([(user, role), ("next", "one")]))
    with up.admin.session(up.machine, "reading") as connection:
        rows = connection.execute(
            "SELECT sys_name, pg_username, error FROM pg_catalog.pg_ident_file_mappings"
        ).fetchall()
    assert len(rows) == 2
    assert rows[1] == ("next", "one", None)
    assert rows[0][1:] == (role, None)
    if not user.startswith("/"):
        assert rows[0][0] == user


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=hostile)
@example(text="'\\n\n''")
def test_postgresql_reads_a_string_as_it_was_written(up: Any, text: str) -> None:
    line = f"application_name = {postgres_conf.literal(text)}\n"
    (up.data / "hostel.conf").write_text(line)
    with up.admin.session(up.machine, "reading") as connection:
        rows = connection.execute(
            "SELECT setting FROM pg_catalog.pg_file_settings WHERE sourcefile LIKE '%hostel.conf'"
        ).fetchall()
    assert rows == [(text,)]


def test_a_user_name_that_looks_like_a_pattern_matches_itself_only(up: Any) -> None:
    """PostgreSQL takes a leading slash for a regular expression, within quotes as well."""
    text = postgres_conf.ident([("/a.b", "r")])
    assert text.splitlines()[1] == r'hostel "/^\/a\.b$" "r"'
