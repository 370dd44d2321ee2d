"""The role: who a site is in its cluster. It may sign in and own things, and nothing beyond.

It has no password: the system says who is at the socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hostel.machine import Machine
from hostel.plan import Change, Key, State, key, name_of
from hostel.postgres_admin import Administrator, checked_name

_RIGHTS = {
    "superuser": "rolsuper",
    "createdb": "rolcreatedb",
    "createrole": "rolcreaterole",
    "replication": "rolreplication",
    "bypassrls": "rolbypassrls",
}
"""What a role may be able to do beyond its own databases, and the column that says so."""


@dataclass(frozen=True, kw_only=True)
class RoleState(State):
    """A role's attributes; the defaults are a site's."""

    login: bool = True
    password: bool = False
    rights: tuple[str, ...] = ()


def role_key(name: str) -> Key:
    return key("role", name)


class Roles:
    """Roles of the cluster that `admin` administers."""

    def __init__(self, admin: Administrator) -> None:
        self.admin = admin

    def observe(self, which: Key, machine: Machine) -> RoleState | None:
        if not self.admin.there(machine):
            return None
        if not self.admin.up():
            seen = self.admin.recall(which, machine)
            return None if seen is None else _state(seen)
        state = self._ask(name_of(which))
        self._remember(which, state, machine)
        return state

    def enact(self, change: Change, machine: Machine) -> None:
        if not self.admin.there(machine):
            return
        name = name_of(change.key)
        state = change.after
        assert state is None or isinstance(state, RoleState)
        doing = f"{change.verb[:-1]}ing the role {name}"
        checked_name(name, doing)
        with self.admin.session(machine, doing) as connection:
            there = self._ask(name) is not None
            if state is not None:
                connection.execute(_statement("ALTER" if there else "CREATE", name, state))
            elif there:
                connection.execute(_drop(name))
        self._remember(change.key, state, machine)

    def _ask(self, name: str) -> RoleState | None:
        from psycopg import sql

        columns = sql.SQL(", ").join(map(sql.Identifier, _RIGHTS.values()))
        query = sql.SQL(
            "SELECT rolcanlogin, rolpassword IS NOT NULL, {} FROM pg_authid WHERE rolname = %s"
        ).format(columns)
        with self.admin.connect(f"looking at the role {name}") as connection:
            row = connection.execute(query, [name]).fetchone()
        if row is None:
            return None
        rights = tuple(right for right, has in zip(_RIGHTS, row[2:], strict=True) if has)
        return RoleState(login=row[0], password=row[1], rights=rights)

    def _remember(self, which: Key, state: RoleState | None, machine: Machine) -> None:
        self.admin.remember(which, None if state is None else _seen(state), machine)


def _seen(state: RoleState) -> dict[str, Any]:
    return {"login": state.login, "password": state.password, "rights": list(state.rights)}


def _state(seen: dict[str, Any]) -> RoleState:
    return RoleState(login=seen["login"], password=seen["password"], rights=tuple(seen["rights"]))


def _statement(verb: str, name: str, state: RoleState) -> Any:
    from psycopg import sql

    words = ["LOGIN" if state.login else "NOLOGIN"]
    words += [("" if right in state.rights else "NO") + right.upper() for right in _RIGHTS]
    if not state.password:
        words.append("PASSWORD NULL")
    return sql.SQL(" ").join(
        [sql.SQL(verb), sql.SQL("ROLE"), sql.Identifier(name), *map(sql.SQL, words)]
    )


def _drop(name: str) -> Any:
    from psycopg import sql

    return sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name))
