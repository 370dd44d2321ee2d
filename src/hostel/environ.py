"""The environment of an app: all of its os.environ, put together from its sources. Pure.

Reads no file and no environment itself, and never puts a value into a message: any of them may
be a secret. Later sources win:

1. a short list from whoever calls Hostel, PATH, LANG and VIRTUAL_ENV;
2. what Hostel tells the app (HOSTEL_*, DATA_DIR, DATABASE_URL, PG*);
3. `[env]` of the site file, which is committed with the code;
4. `.env`, which belongs to one machine and is not committed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hostel.errors import UsageError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs of the system are, whatever the caller's own PATH says."""

PORT = 5432
"""The usual end of the name of PostgreSQL's socket."""


@dataclass(frozen=True)
class DatabaseAddress:
    """Where the site's database is: its role, its name, and the folder of the server's socket.

    `port` is part of the socket's name; nothing listens on TCP for it.
    """

    role: str
    name: str
    socket_dir: Path
    port: int = PORT


@dataclass(frozen=True)
class Given:
    """What Hostel knows of a site on this machine.

    `user` and `home` are of the account that the app runs as; `own_account` says whether that is
    the caller's own, so that the caller's HOME and TMPDIR are good for it. `url` is the site's
    first address (scheme, host, port), `data` the folder that outlives releases.
    """

    name: str
    user: str
    home: Path
    own_account: bool
    venv: Path
    url: str
    domains: Sequence[str]
    data: Path
    database: DatabaseAddress | None = None


def compose(
    site_env: Mapping[str, str],
    dotenv: Mapping[str, str],
    given: Given,
    caller: Mapping[str, str],
) -> dict[str, str]:
    """The whole environment of the app. Values of `[env]` and `.env` come through unchanged."""
    return {**_base(given, caller), **_exports(given), **site_env, **dotenv}


def _base(given: Given, caller: Mapping[str, str]) -> dict[str, str]:
    base = {"HOME": str(given.home), "USER": given.user, "LOGNAME": given.user}
    passed = ["TZ"]
    if given.own_account:
        passed += ["HOME", "USER", "LOGNAME", "TMPDIR"]
    base |= {name: caller[name] for name in passed if caller.get(name)}
    return base | {
        "PATH": f"{given.venv / 'bin'}:{SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "VIRTUAL_ENV": str(given.venv),
    }


def _exports(given: Given) -> dict[str, str]:
    exports = {
        "HOSTEL_SITE": given.name,
        "HOSTEL_URL": given.url,
        "HOSTEL_DOMAINS": ",".join(given.domains),
        "DATA_DIR": str(given.data),
    }
    if given.database is None:
        return exports
    database = given.database
    return exports | {
        "DATABASE_URL": database_url(database),
        "PGHOST": str(database.socket_dir),
        "PGPORT": str(database.port),
        "PGUSER": database.role,
        "PGDATABASE": database.name,
    }


def database_url(database: DatabaseAddress) -> str:
    """The URL of a database behind a socket; it holds no password, since none is needed."""
    role, name = quote(database.role, safe=""), quote(database.name, safe="")
    other = "" if database.port == PORT else f"&port={database.port}"
    return f"postgresql://{role}@/{name}?host={quote(str(database.socket_dir), safe='')}{other}"


def read_dotenv(text: str, origin: str) -> dict[str, str]:
    """The variables of a `.env` file as python-dotenv reads them, without interpolation.

    A name without "=" sets nothing. Raises UsageError that names the line, never its content.
    """
    from dotenv.parser import parse_stream

    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text.removeprefix("\ufeff"), newline="")):
        said = binding.original.string
        blank = said[: len(said) - len(said.lstrip())]
        line = binding.original.line + len(blank.replace("\r\n", "\n").splitlines())
        if binding.error:
            raise _bad(origin, line, "is no NAME=value")
        if binding.key is None or binding.value is None:
            continue
        if "\0" in binding.key or "\0" in binding.value:
            raise _bad(origin, line, "holds a NUL character, which no variable can")
        if "=" in binding.key or not binding.key:
            raise _bad(origin, line, 'has a name that is empty or holds "="')
        found[binding.key] = binding.value
    return found


def _bad(origin: str, line: int, problem: str) -> UsageError:
    return UsageError(
        f"reading {origin}",
        f"line {line} {problem}",
        "Write one NAME=value in each line, the value in quotes where it holds spaces or #.",
    )
