"""The model of a site: what `hostel.toml` can say, settled and checked. Pure.

Knows the keys, their defaults and their bounds. Reads no file and guesses nothing: the defaults
that depend on a folder (`name`, `path`, `app`) come from `hostel.sitefile`. Imports pydantic, so
the command line loads it only where a verb needs it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hostel import amounts, commands, cron
from hostel import site_values as values

NAME = values.NAME
MACHINE_FILE = "/etc/hostel/machine.toml"
Location = tuple[str, ...]

_LATER = "is not part of this version of Hostel yet"

RESERVED: dict[Location, str] = {
    ("database", "privileges"): f"granting to other roles {_LATER}",
    ("database", "url"): (
        f"a database elsewhere {_LATER}; leave [database] out and set DATABASE_URL in .env"
    ),
    ("database", "timeouts"): f"limits of a database {_LATER}",
    ("router",): (
        f"the router is the machine's, not a site's; what it listens on is said in {MACHINE_FILE}"
    ),
}
"""Keys with a meaning that no site file has, or not yet; each with the sentence that refuses it."""

TABLES_OF_TABLES = ("workers", "cron")
LATER_MODES = ("acme", "manual")


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _mode(value: Any) -> Any:
    if value in LATER_MODES:
        raise ValueError(f'mode = "{value}" {_LATER}; until then use "local" or "off"')
    return value


def _worker(value: Any) -> Any:
    return value if isinstance(value, dict) else {"command": value}


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
        amounts.size,
        json_schema_input_type=Annotated[int, Field(ge=1, le=amounts.MAX_BODY)] | str,
    ),
]
Memory = Annotated[
    int,
    BeforeValidator(
        amounts.memory,
        json_schema_input_type=Annotated[
            int, Field(ge=amounts.LEAST_MEMORY, le=amounts.MOST_MEMORY)
        ]
        | str,
    ),
]
Duration = Annotated[
    int,
    BeforeValidator(
        amounts.duration,
        json_schema_input_type=Annotated[int, Field(ge=1, le=amounts.WEEK)] | str,
    ),
]
Patience = Annotated[
    int,
    BeforeValidator(
        amounts.patience,
        json_schema_input_type=Annotated[int, Field(ge=1, le=amounts.HOUR)] | str,
    ),
]
Words = Text | Annotated[list[str], Field(min_length=1)]
Command = Annotated[
    tuple[str, ...], BeforeValidator(commands.command, json_schema_input_type=Words)
]
TaskName = Annotated[str, AfterValidator(values.task)]


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

    memory: Memory | None = Field(
        default=None,
        description='Most memory on a server, such as "512MB"; by default three quarters of it.',
    )
    tasks: int | None = Field(
        default=None,
        ge=16,
        le=1_000_000,
        description="Most processes and threads on a server; by default 512 beyond httpd's.",
    )
    cpu: float | None = Field(
        default=None,
        ge=0.05,
        le=1024,
        allow_inf_nan=False,
        description="Most cores on a server, such as 1.5; by default no limit.",
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


class WorkerTable(Part):
    """A command that runs all the time beside the app; the command alone is enough."""

    command: Command = Field(description="What to run, without a shell.")
    count: int = Field(default=1, ge=1, le=64, description="How many of it run.")
    memory: Memory | None = Field(
        default=None, description="Most memory of each; by default as [server] memory."
    )
    stop_timeout: Patience = Field(
        default=30,
        description="How long it may take to end after SIGTERM; then it is killed.",
    )


class CronTable(Part):
    """A command that runs at set times."""

    schedule: Annotated[str, AfterValidator(cron.schedule)] = Field(
        description='When: "30 4 * * Mon-Fri", as in a crontab, or "@hourly", "@daily" ...'
    )
    command: Command = Field(description="What to run, without a shell.")
    timeout: Duration = Field(
        default=3600, description="How long a run may take; then it is killed and has failed."
    )
    timezone: Annotated[str, AfterValidator(cron.timezone)] | None = Field(
        default=None, description='Whose clock: "Europe/Berlin"; by default the machine\'s.'
    )


Worker = Annotated[
    WorkerTable, BeforeValidator(_worker, json_schema_input_type=WorkerTable | Words)
]


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
    workers: dict[TaskName, Worker] = Field(
        default={}, description="Commands that run all the time beside the app, on a server."
    )
    cron: dict[TaskName, CronTable] = Field(
        default={}, description="Commands that run at set times, on a server."
    )
