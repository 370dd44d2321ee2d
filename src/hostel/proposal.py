"""What the first site file of a project should say: all that can be worked out, and why.

Reads the project's files and never runs them; writes nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostel import detect, django_project
from hostel.errors import UsageError
from hostel.init_text import site_file
from hostel.requirements import needs_of
from hostel.site import Database, Site
from hostel.sitefile import load_site, parse
from hostel.target import SITE_FILE, Target

DRIVERS = ("psycopg", "psycopg2", "psycopg2-binary", "psycopg-pool", "psycopg-binary", "asyncpg")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_DJANGO = re.compile(
    r"django\.db\.backends\.postgresql|django\.contrib\.gis\.db\.backends\.postgis"
)


@dataclass(frozen=True)
class Proposal:
    """A site, the text of its file, and what was chosen and why, a sentence each."""

    site: Site
    text: str
    notes: tuple[str, ...]


def propose(target: Target, domains: Sequence[str], database: bool | None) -> Proposal:
    """The site file for a project that has none; `database` is None where nobody has said.

    Raises UsageError where no app is found, or where there is a site file already.
    """
    if target.site_file is not None:
        table = f" (its table [{'.'.join(target.table)}])" if target.table else ""
        raise there_already(target.site_file, table)
    site, guessed = load_site(target)
    notes = [note.partition(" Say otherwise")[0] for note in guessed]
    because = wants_postgres(target.root) if database is None else ""
    if because:
        notes.append(f"[database]: {because}. Without one, use --no-database.")
    site = site.model_copy(
        update={"domains": tuple(domains), "database": Database() if database or because else None}
    )
    migrate = _migrate(target.root) if site.database and site.hooks.release is None else ()
    if migrate:
        notes.append(f"[hooks] release: `{' '.join(migrate)}` runs before each switch.")
        site = site.model_copy(update={"hooks": site.hooks.model_copy(update={"release": migrate})})
    usual = detect.import_path(target.root)
    text = site_file(site, usual)
    again = parse(text, origin=SITE_FILE, given={"path": list(usual)})
    assert again.model_dump() == site.model_dump()
    return Proposal(site, text, tuple(notes))


def there_already(path: Path, table: str = "") -> UsageError:
    return UsageError(
        f"making a site file for {path.parent}",
        f"there is one already: {path}{table}",
        "Change that one by hand; docs/hostel.toml explains every key.",
    )


def wants_postgres(root: Path) -> str:
    """Why the project seems to want a PostgreSQL database; empty where it does not."""
    for name, extras in _required(root):
        if name in DRIVERS or "postgresql" in extras:
            return f"the requirements name {name}{f'[{extras}]' if name not in DRIVERS else ''}"
    for base in detect.import_path(root):
        for file in django_project.settings_of(root / base):
            if _DJANGO.search(django_project.text_of(file)):
                return f"{file.relative_to(root)} names Django's backend for PostgreSQL"
    return ""


def _required(root: Path) -> Iterator[tuple[str, str]]:
    """Names of direct requirements, in their usual spelling, each with its extras."""
    lines: list[str] = []
    with contextlib.suppress(UsageError, OSError, ValueError):
        needs = needs_of(root)
        lines += needs.text.splitlines()
        core, tool = needs.project.get("project", {}), needs.project.get("tool", {})
        if needs.kind != "requirements" or needs.itself:
            lines += [str(line) for line in core.get("dependencies", [])]
            lines += [str(name) for name in tool.get("poetry", {}).get("dependencies", {})]
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match:
            yield re.sub(r"[-_.]+", "-", match[1]).lower(), (match[2] or "").lower()


def _migrate(root: Path) -> tuple[str, ...]:
    for base in detect.import_path(root):
        django = django_project.look(root, root / base)
        if django is not None:
            return ("python", django.manage, "migrate", "--noinput")
    return ()
