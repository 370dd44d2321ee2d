"""The three files that make a PostgreSQL cluster a site's own private one, as text. Pure.

Who may connect (pg_hba.conf), which user of the system is which role (pg_ident.conf), and how
the server runs (hostel.conf, included from postgresql.conf). The only place that quotes for
these files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hostel.errors import HostelError

SUPERUSER = "postgres"
PORT = 5432
"""Only part of the socket's name: no TCP port is ever opened."""

SOCKET = f".s.PGSQL.{PORT}"

HBA = """\
# Written by Hostel. Only through the socket, only as who the system says you are.
local all all peer map=hostel
"""


@dataclass(frozen=True)
class Settings:
    """The texts of the three files."""

    hba: str
    ident: str
    conf: str


def settings(
    *, role: str, runner: str, operator: str, socket_dir: Path, max_connections: int
) -> Settings:
    """The files of a cluster for one site.

    `runner` is the system's name for the user the app runs as, `operator` the one Hostel runs
    as; where they differ (Hostel run by root) the app's user is the site's role and no other.
    """
    pairs = [(runner, role), (operator, SUPERUSER), (operator, role)]
    return Settings(HBA, ident(pairs), conf(socket_dir, max_connections))


def digest(hba: str, ident_text: str, conf_text: str) -> str:
    """What a running server is compared by; short, as it is shown in its command line."""
    return sha256("\0".join((hba, ident_text, conf_text)).encode()).hexdigest()[:16]


def ident(pairs: Iterable[tuple[str, str]]) -> str:
    """pg_ident.conf: each user of the system may be each role it is paired with."""
    lines = [f"hostel {_system_user(user)} {_role(role)}" for user, role in dict.fromkeys(pairs)]
    return "\n".join(["# Written by Hostel.", *lines, ""])


def _system_user(name: str) -> str:
    # A leading slash makes a regular expression of it, quoted or not.
    if name.startswith("/"):
        name = "/^" + "".join(re.sub(r"\W", r"\\\g<0>", char) for char in name) + "$"
    return _token(name)


def _role(name: str) -> str:
    if name.startswith("/"):
        raise _unfit(name)
    return _token(name)


def _token(text: str) -> str:
    """A word of pg_hba.conf or pg_ident.conf; in quotes, so that no keyword is meant by it."""
    if not text or len(text.encode()) > 200 or any(char in text for char in "\0\n\r"):
        raise _unfit(text)
    return '"' + text.replace('"', '""') + '"'


def _unfit(name: str) -> HostelError:
    return HostelError(
        "writing pg_ident.conf",
        f"no line of it can hold the name {name!r}",
        "Use a user of the system with a plainer name.",
    )


def conf(socket_dir: Path, max_connections: int) -> str:
    """hostel.conf: what differs from initdb's own choice, each for a reason said beside it."""
    # A list of folders within a string: quoted for the one, then for the other.
    folders = '"' + str(socket_dir).replace('"', '""') + '"'
    return f"""\
# Written by Hostel, and written again at its next run.
listen_addresses = ''  # the socket is the only way in
port = {PORT}
unix_socket_directories = {literal(folders)}
unix_socket_permissions = 0700
max_connections = {max_connections}

shared_buffers = 32MB
# Files, not /dev/shm: that is emptied when a user logs out (RemoveIPC) and tiny in containers.
dynamic_shared_memory_type = mmap
max_wal_size = 256MB

fsync = on
full_page_writes = on
synchronous_commit = on
password_encryption = 'scram-sha-256'

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'  # Hostel reads the log
logging_collector = off
log_destination = 'stderr'
log_checkpoints = off
log_line_prefix = '%m [%p] %q%u@%d '
"""


def literal(text: str) -> str:
    """A string of postgresql.conf."""
    escapes = {"'": "''", "\\": "\\\\", "\n": "\\n", "\r": "\\r"}
    return "'" + "".join(escapes.get(char, char) for char in text) + "'"
