"""Speaking SQL to a site's own cluster as its superuser, and remembering what was seen there.

Connects through the socket only. What the roles and databases should be is not known here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.postgres import cluster_major, read_private
from hostel.postgres_conf import PORT, SUPERUSER

if TYPE_CHECKING:
    import psycopg

    from hostel.resources.server import Servers

MEMORY = "hostel-known.json"
"""Kept within the cluster, so that it can never outlive it."""


@dataclass(frozen=True)
class Admin:
    """The superuser of the cluster in `data`, whose server `servers` can start."""

    data: Path
    socket_dir: Path
    servers: Servers

    def up(self) -> bool:
        return listening(self.socket_dir)

    @contextlib.contextmanager
    def session(
        self, machine: Machine, doing: str, database: str = SUPERUSER
    ) -> Iterator[psycopg.Connection[Any]]:
        """A connection for changes; a server that is down is up for just that long.

        It is down only while a killed run is undone: otherwise it was started before.
        """
        with contextlib.ExitStack() as stack:
            if not self.up():
                stack.enter_context(self.servers.awake(self.data, machine))
            yield stack.enter_context(self.connect(doing, database))

    def there(self, machine: Machine) -> bool:
        return cluster_major(self.data, machine) is not None

    def connect(
        self, doing: str, database: str = SUPERUSER
    ) -> contextlib.AbstractContextManager[psycopg.Connection[Any]]:
        """A connection to the server, which is up."""
        return connect(self.socket_dir, doing, database)

    # -- memory: a server that is down cannot be asked, and observing must not start one ---------

    def recall(self, which: str, machine: Machine) -> dict[str, Any] | None:
        """What was last seen of this role or database."""
        said = self._memory(machine).get(which)
        return said if isinstance(said, dict) else None

    def remember(self, which: str, seen: dict[str, Any] | None, machine: Machine) -> None:
        memory = self._memory(machine)
        if memory.get(which) == seen or not self.there(machine):
            return
        memory[which] = seen
        text = json.dumps(memory, indent=1, sort_keys=True).encode()
        machine.write(self.data / MEMORY, text, 0o600, machine.runner)

    def _memory(self, machine: Machine) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            said = json.loads(read_private(self.data / MEMORY, machine) or b"{}")
            if isinstance(said, dict):
                return said
        return {}


class Administrator(Protocol):
    """Who may do everything in a PostgreSQL; see `Admin` for what each of these is."""

    def there(self, machine: Machine) -> bool: ...

    def up(self) -> bool: ...

    def connect(
        self, doing: str, database: str = ...
    ) -> contextlib.AbstractContextManager[psycopg.Connection[Any]]: ...

    def session(
        self, machine: Machine, doing: str, database: str = ...
    ) -> contextlib.AbstractContextManager[psycopg.Connection[Any]]: ...

    def recall(self, which: str, machine: Machine) -> dict[str, Any] | None: ...

    def remember(self, which: str, seen: dict[str, Any] | None, machine: Machine) -> None: ...


def listening(socket_dir: Path, port: int = PORT) -> bool:
    """Whether a server accepts connections there, be it to say that it is not ready."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as door:
        door.settimeout(5)
        door.connect(str(socket_dir / f".s.PGSQL.{port}"))
        return True
    return False


@contextlib.contextmanager
def connect(
    socket_dir: Path,
    doing: str,
    database: str = SUPERUSER,
    port: int = PORT,
    around: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection; what the server refuses becomes a HostelError in its words.

    It is opened within `around`, which may make us another user for that moment.
    """
    import psycopg

    try:
        with _without_libpq_variables(), around():
            connection = psycopg.connect(
                host=str(socket_dir),
                port=port,
                user=SUPERUSER,
                dbname=database,
                autocommit=True,
                connect_timeout=10,
                application_name="hostel",
                client_encoding="UTF8",
            )
        with connection:
            # The database is the app's: nothing it defines may stand in for the server's own.
            connection.execute("SET search_path = ''")
            yield connection
    except psycopg.Error as error:
        raise explained(doing, error) from error


def explained(doing: str, error: psycopg.Error) -> HostelError:
    """The server's own line first, its details below."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    diag = error.diag
    rest = [*lines[1:], diag.message_hint or ""]
    remedy = diag.message_hint or "See the site's PostgreSQL log for what led to it."
    return HostelError(doing, lines[0], remedy, "\n".join(line for line in rest if line))


def checked_name(name: str, doing: str) -> str:
    """A name that PostgreSQL keeps as it is: it would cut a longer one without an error."""
    if not name or "\0" in name or len(name.encode(errors="surrogatepass")) > 63:
        raise HostelError(
            doing, f"PostgreSQL cannot use the name {name!r}", "Use a name of 1 to 63 bytes."
        )
    return name


@contextlib.contextmanager
def _without_libpq_variables() -> Iterator[None]:
    """libpq lets PGHOSTADDR, PGSERVICE and others of a person's shell redirect a connection."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)
