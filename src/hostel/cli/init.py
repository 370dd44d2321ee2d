"""`hostel init`: an annotated site file for a project, with what can be worked out filled in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hostel.cli import screen
from hostel.errors import UsageError

EPILOG = """\b
Examples:
  hostel init                                 the project in this folder
  hostel init shop --domain shop.example.com  that one, with its name
  hostel init shop.wsgi:application           say which app is meant
  hostel init --yes --no-database             ask nothing, no database
"""


@click.command(epilog=EPILOG)
@click.argument("target", default=".", metavar="[FOLDER]")
@click.option("--domain", "domains", multiple=True, help="A host name; the first is canonical.")
@click.option(
    "--database/--no-database", default=None, help="With or without PostgreSQL, not as it seems."
)
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
def init(target: str, domains: tuple[str, ...], database: bool | None, yes: bool) -> None:
    """Write hostel.toml for the project in FOLDER, and print its path.

    Which app there is, its static files and hooks are worked out from Flask's and Django's
    conventions, a Procfile and the requirements. A site file that is there is never overwritten.
    """
    from hostel import proposal
    from hostel.machine import Machine
    from hostel.target import resolve

    chosen = _checked(domains)
    found = resolve(target)
    with Machine().eyes_of_owner(found.root):
        try:
            draft = proposal.propose(found, chosen, database)
        except UsageError as error:
            error.remedy = error.remedy.replace("`hostel up ", "`hostel init ")
            raise
    if not (chosen or yes) and sys.stdin is not None and sys.stdin.isatty():
        chosen = _asked()
        with Machine().eyes_of_owner(found.root):
            draft = proposal.propose(found, chosen, database)
    path = _write(found.root, draft.text)
    for note in draft.notes:
        click.echo(note, err=True)
    click.echo(path)
    folder = "" if found.root == Path.cwd() else screen.short(str(found.root))
    click.echo(f"next: {screen.command('up', folder)}", err=True)


def _checked(domains: tuple[str, ...]) -> tuple[str, ...]:
    from hostel import site_values

    try:
        return site_values.distinct([site_values.domain(name) for name in domains])
    except ValueError as error:
        raise UsageError("reading --domain", str(error), "Give a plain host name.") from None


def _asked() -> tuple[str, ...]:
    """The domain, asked until it is one or none."""
    while True:
        said = click.prompt("Domain (none)", default="", show_default=False, err=True).strip()
        if not said:
            return ()
        try:
            return _checked((said,))
        except UsageError as error:
            click.echo(error.happened, err=True)


def _write(root: Path, text: str) -> Path:
    """Make the file, the project's owner's; what is there already, or came meanwhile, stays."""
    from hostel.errors import HostelError
    from hostel.proposal import there_already
    from hostel.target import SITE_FILE

    path = root / SITE_FILE
    try:
        # By the folder itself: its owner may put a link in its place at any moment.
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            file = os.open(SITE_FILE, flags, 0o644, dir_fd=folder)
            with os.fdopen(file, "wb") as opened:
                owner = os.fstat(folder)
                if os.geteuid() == 0:
                    os.fchown(file, owner.st_uid, owner.st_gid)
                opened.write(text.encode())
        finally:
            os.close(folder)
    except FileExistsError:
        raise there_already(path) from None
    except OSError as error:
        remedy = f"Make {root} writable for you, or run it as its owner."
        raise HostelError(f"writing {path}", error.strerror or str(error), remedy) from error
    return path
