"""The database of a site: owned by its role, closed to others, with the extensions it asks for.

Drops a database only on an explicit removal or as the undo of having made it, and an extension
only as the undo of having added it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, Key, State, key, name_of
from hostel.postgres_admin import Administrator, checked_name
from hostel.postgres_extensions import check

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, kw_only=True)
class DatabaseState(State):
    """Who owns a database, whether only the owner may connect, and the extensions asked for."""

    owner: str
    closed: bool = True
    extensions: tuple[str, ...] = ()

    @classmethod
    def of(cls, owner: str, extensions: tuple[str, ...], needs: tuple[Key, ...]) -> DatabaseState:
        return cls(owner=owner, extensions=tuple(sorted(set(extensions))), needs=needs)


def database_key(name: str) -> Key:
    return key("database", name)


class Databases:
    """Databases of the cluster that `admin` administers.

    Of `extensions` it sees and says whether they are there; others are the app's own business.
    """

    def __init__(self, admin: Administrator, extensions: tuple[str, ...]) -> None:
        self.admin = admin
        self.extensions = frozenset(extensions)

    def observe(self, which: Key, machine: Machine) -> DatabaseState | None:
        if not self.admin.there(machine):
            return None
        if self.admin.up():
            seen = self._ask(name_of(which))
            self.admin.remember(which, seen, machine)
        else:
            seen = self.admin.recall(which, machine)
        if seen is None:
            return None
        return DatabaseState(
            owner=seen["owner"],
            closed=seen["closed"],
            extensions=tuple(sorted(self.extensions.intersection(seen["extensions"]))),
        )

    def enact(self, change: Change, machine: Machine) -> None:
        if not self.admin.there(machine):
            return
        name = name_of(change.key)
        doing = f"{change.verb[:-1]}ing the database {name}"
        checked_name(name, doing)
        with self.admin.session(machine, doing) as connection:
            if isinstance(change.after, DatabaseState):
                self._settle(connection, name, change.after)
                with self.admin.connect(doing, name) as inside:
                    before = change.before
                    had = before.extensions if isinstance(before, DatabaseState) else ()
                    _add(inside, change.after.extensions)
                    _take_back(inside, set(had) - set(change.after.extensions))
            else:
                _drop(connection, name)
            self.admin.remember(change.key, self._ask(name), machine)

    def _settle(self, connection: psycopg.Connection[Any], name: str, state: DatabaseState) -> None:
        from psycopg import sql

        which, owner = sql.Identifier(name), sql.Identifier(state.owner)
        seen = _row(connection, name)
        if seen is None:
            _drop(connection, name)  # One whose removal was cut short is there, but unusable.
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                    which, owner
                )
            )
        elif seen[0] != state.owner:
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(which, owner))
        how = "REVOKE ALL ON DATABASE {} FROM PUBLIC"
        if not state.closed:
            how = "GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC"
        connection.execute(sql.SQL(how).format(which))

    def _ask(self, name: str) -> dict[str, Any] | None:
        doing = f"looking at the database {name}"
        with self.admin.connect(doing) as connection:
            row = _row(connection, name)
        if row is None:
            return None
        with self.admin.connect(doing, name) as inside:
            there = inside.execute("SELECT extname FROM pg_extension ORDER BY 1").fetchall()
        return {"owner": row[0], "closed": row[1], "extensions": [one for (one,) in there]}


def _row(connection: psycopg.Connection[Any], name: str) -> tuple[str, bool] | None:
    """Owner, and whether PUBLIC has no right to it; None as well for a half-dropped one."""
    return connection.execute(
        """
        SELECT pg_get_userbyid(datdba), NOT EXISTS (
            SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0
        )
        FROM pg_database WHERE datname = %s AND datconnlimit <> -2
        """,
        [name],
    ).fetchone()


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    from psycopg import sql

    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    connection.execute(drop)


def _add(inside: psycopg.Connection[Any], extensions: tuple[str, ...]) -> None:
    """As the superuser, but only such as give the app no way out of its database."""
    from psycopg import errors, sql

    there = {one for (one,) in inside.execute("SELECT extname FROM pg_extension")}
    for extension in extensions:
        if extension in there:
            continue
        check(inside, extension)
        inside.execute("SET search_path = public")
        create = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE")
        try:
            inside.execute(create.format(sql.Identifier(extension)))
        except errors.InvalidSchemaName as error:
            raise HostelError(
                f"creating the extension {extension}",
                "the schema public, where it would go, was removed from the database",
                "Create the extension in a schema of your choice with `hostel db`.",
            ) from error


def _take_back(inside: psycopg.Connection[Any], extensions: set[str]) -> None:
    from psycopg import errors, sql

    for extension in sorted(extensions):
        # A table that came to use it meanwhile is worth more than a tidy list.
        with contextlib.suppress(errors.DependentObjectsStillExist):
            drop = sql.SQL("DROP EXTENSION IF EXISTS {}").format(sql.Identifier(extension))
            inside.execute(drop)
