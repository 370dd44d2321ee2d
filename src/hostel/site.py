"""The model of a site: what `hostel.toml` can say, settled and checked. Pure.

Knows the keys, their defaults and their bounds. Reads no file and guesses nothing: the defaults
that depend on a folder (`name`, `path`, `app`) come from `hostel.sitefile`. Imports pydantic, so
the command line loads it only where a verb needs it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hostel import commands
from hostel import site_values as values

NAME = values.NAME
Location = tuple[str, ...]

_LATER = "belongs to hosting on a server, which this version of Hostel does not have yet"

RESERVED: dict[Location, str] = {
    ("workers",): f"[workers] (processes beside the app) {_LATER}",
    ("cron",): f"[cron] (commands at set times) {_LATER}",
    ("server", "memory"): f"a limit of memory {_LATER}",
    ("server", "tasks"): f"a limit of tasks {_LATER}",
    ("database", "privileges"): f"granting to other roles {_LATER}",
    ("database", "url"): (
        f"a database elsewhere {_LATER}; leave [database] out and set DATABASE_URL in .env"
    ),
    ("database", "timeouts"): f"limits of a database {_LATER}",
}
"""Keys with a meaning that is kept for later; each with the sentence that refuses it."""

LATER_MODES = ("acme", "manual")


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _mode(value: Any) -> Any:
    if value in LATER_MODES:
        raise ValueError(f'mode = "{value}" {_LATER}; use "local" or "off"')
    return value


def _database(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    return value


Text = Annotated[str, Field(min_length=1)]
Domain = Annotated[str, AfterValidator(values.domain)]
Address = Annotated[str, AfterValidator(values.address)]
Folder = Annotated[str, AfterValidator(values.folder)]
Inside = Annotated[str, AfterValidator(values.relative)]
Prefix = Annotated[str, AfterValidator(values.url_prefix)]
EnvName = Annotated[str, AfterValidator(values.env_name)]
EnvValue = Annotated[str, BeforeValidator(values.env_value, json_schema_input_type=str)]
Extension = Annotated[str, AfterValidator(values.extension)]
Distinct = AfterValidator(values.distinct)
Listed = BeforeValidator(_listed)
Size = Annotated[
    int,
    BeforeValidator(
        values.size,
        json_schema_input_type=Annotated[int, Field(ge=1, le=values.MAX_BODY)] | str,
    ),
]
Command = Annotated[
    tuple[str, ...],
    BeforeValidator(
        commands.command, json_schema_input_type=Text | Annotated[list[str], Field(min_length=1)]
    ),
]


class Part(BaseModel):
    """A table of the site file: unknown keys are refused, values are never converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Server(Part):
    """How the instance serves: processes, limits, addresses."""

    processes: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Processes that run the app; by default as the cores are.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=512,
        description="Threads in each process; by default as the cores are.",
    )
    request_timeout: int = Field(
        default=60, ge=1, le=86400, description="Seconds that a request may wait for its client."
    )
    max_body: Size = Field(
        default=100_000_000,
        description='Largest request body: "100MB", "1GiB", or a number of bytes.',
    )
    listen: Annotated[tuple[Address, ...], Listed, Distinct] = Field(
        default=("127.0.0.1", "::1"),
        min_length=1,
        description="IP addresses to listen on; the default is this machine only.",
    )


class Database(Part):
    """A PostgreSQL database of the site's own."""

    extensions: Annotated[tuple[Extension, ...], Listed, Distinct] = Field(
        default=(), description="PostgreSQL extensions to create in it."
    )


class Tls(Part):
    """HTTPS and the certificate."""

    mode: Annotated[
        Literal["local", "off"],
        BeforeValidator(_mode, json_schema_input_type=Literal["local", "off"]),
    ] = Field(
        default="local",
        description='"local": HTTPS with a certificate of this machine\'s own authority; '
        '"off": plain HTTP.',
    )


class Health(Part):
    """The request that shows whether the app works."""

    path: Annotated[str, AfterValidator(values.request_path)] = Field(
        default="/",
        description="What to ask for; an answer below 500 is good, below 400 if you set this.",
    )
    timeout: int = Field(
        default=30, ge=1, le=600, description="Seconds until the first good answer."
    )


class Hooks(Part):
    """Commands of the project, run without a shell."""

    build: Command | None = Field(
        default=None,
        description="Run in a new release while it is built, such as to collect files.",
    )
    release: Command | None = Field(
        default=None, description="Run before each switch to a new release, such as to migrate."
    )


class Site(Part):
    """One WSGI app and all that it needs, as the site file says it.

    `app` is "module:callable", "module:factory()", "file.py" (or .wsgi) or "file.py:callable";
    `domains` are ASCII and lower case, the first is canonical; `path`, `keep` and the folders of
    `static` are relative to the project; `max_body` is in bytes, timeouts in seconds.
    Raises pydantic's ValidationError; `hostel.sitefile` makes a UsageError of it.
    """

    name: Annotated[str, AfterValidator(values.name)] = Field(
        description="Name of the site and of its database; default by the project's folder."
    )
    app: Annotated[str, AfterValidator(values.app)] = Field(
        description='"module:callable", "module:factory()", or a .py or .wsgi file.'
    )
    domains: Annotated[tuple[Domain, ...], Listed, Distinct] = Field(
        default=(), description="Host names of the site; the first is canonical."
    )
    python: Annotated[str, BeforeValidator(values.python, json_schema_input_type=str)] | None = (
        Field(
            default=None, description='Version of Python, such as "3.11"; default by the project.'
        )
    )
    path: Annotated[tuple[Folder, ...], Listed, Distinct] = Field(
        default=(".",),
        min_length=1,
        description='Folders to import from; default ["src", "."] or ["."].',
    )
    keep: Annotated[tuple[Inside, ...], Listed, AfterValidator(values.kept)] = Field(
        default=(), description="Files and folders that the app writes to, left where they are."
    )
    server: Server = Field(default=Server(), description="How the instance serves.")
    static: dict[Prefix, Inside] = Field(
        default={}, description="URL prefixes and the folders that httpd serves below them."
    )
    env: dict[EnvName, EnvValue] = Field(
        default={}, description="Variables in the app's environment; .env overrides them."
    )
    database: Annotated[
        Database | None,
        BeforeValidator(_database, json_schema_input_type=Database | bool),
    ] = Field(default=None, description="A PostgreSQL database; an empty table is enough.")
    tls: Tls = Field(default=Tls(), description="HTTPS and the certificate.")
    health: Health = Field(
        default=Health(), description="The request that shows whether the app works."
    )
    hooks: Hooks = Field(
        default=Hooks(), description="Commands of the project, run without a shell."
    )
