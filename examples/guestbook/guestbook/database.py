"""The database: one small pool of connections for each process."""

import atexit
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg import Connection
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

# Threads and connections do not survive a fork, so nothing is opened while importing.
pool = ConnectionPool(
    os.environ.get("DATABASE_URL", ""),
    open=False,
    min_size=1,
    max_size=4,
    timeout=5,
    check=ConnectionPool.check_connection,  # one that a restart of PostgreSQL broke is replaced
    kwargs={"autocommit": True},
)
atexit.register(pool.close)


@dataclass(frozen=True)
class Entry:
    id: int
    name: str
    message: str
    created: datetime


def connect() -> AbstractContextManager[Connection]:
    pool.open()  # does nothing when it is open
    return pool.connection()


def value(query: LiteralString, *parameters: str) -> object:
    """The single value that a query returns."""
    with connect() as connection:
        row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def latest(limit: int, before: int) -> list[Entry]:
    """The entries with numbers below another, the latest first."""
    with connect() as connection, connection.cursor(row_factory=class_row(Entry)) as cursor:
        cursor.execute(
            "select id, name, message, created from entry where id < %s order by id desc limit %s",
            [before, limit],
        )
        return cursor.fetchall()


def add(name: str, message: str) -> object:
    return value("insert into entry (name, message) values (%s, %s) returning id", name, message)


def secret_key() -> str:
    return os.environ.get("SECRET_KEY") or str(
        value("select value from setting where name = 'secret_key'")
    )
