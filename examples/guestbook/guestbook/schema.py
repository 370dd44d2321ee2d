"""Makes what the guestbook keeps in its database. Run it as often as you like."""

import os
import secrets

import psycopg

SCHEMA = """
create table if not exists entry (
    id      bigint generated always as identity primary key,
    name    text not null check (char_length(name) between 1 and 60),
    message text not null check (char_length(message) between 1 and 1000),
    created timestamptz not null default now()
);
create table if not exists setting (
    name  text primary key,
    value text not null
);
"""


def create() -> None:
    with psycopg.connect(os.environ.get("DATABASE_URL", "")) as connection:
        connection.execute(SCHEMA)
        connection.execute(
            "insert into setting values ('secret_key', %s) on conflict do nothing",
            [secrets.token_urlsafe(32)],
        )


if __name__ == "__main__":
    create()
