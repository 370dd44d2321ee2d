"""`hostel rollback`: back to an earlier generation of a site, whatever became of its project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from hostel.cli import screen

if TYPE_CHECKING:
    from hostel.server.generations import Generation
    from hostel.server.host import Host

EPILOG = """\b
Examples:
  hostel rollback                  the site of this folder, to what was live before
  hostel rollback guestbook        the site of that name
  hostel rollback guestbook --to 7 to its generation 7, or to a release: --to 7c1f0a2b
"""


@click.command(epilog=EPILOG)
@click.argument("site", required=False)
@click.option("--to", "wanted", metavar="WHICH", help="A generation's number, or a release.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object with "version": 1.')
def rollback(site: str | None, wanted: str | None, as_json: bool) -> None:
    """Bring an earlier generation of SITE back into service: code, environment and limits.

    Neither the project nor its site file is read. Data and what migrations did stay as they are.
    """
    from hostel.cli.apply import announce, as_facts
    from hostel.cli.which import site_name
    from hostel.server import deploy
    from hostel.server.host import host_here, locked

    host, name = host_here(), site_name(site)
    with locked(host.places):
        if deploy.mend(host).undone:
            screen.note("an earlier run was cut short; what it had begun was undone")
        old, hooks = chosen(name, wanted, host)
        release = f"release {old.release.id}, made {old.made}"
        click.echo(f"back to generation {old.number}: {release}", err=True)
        deployed = deploy.back_to(old, host, screen.Steps())
    if hooks:
        screen.note(f"what release hooks did to data is not undone: {hooks}")
    if as_json:
        click.echo(json.dumps({"version": 1, "sites": [as_facts(deployed)]}, indent=2))
    else:
        announce(deployed)


def chosen(name: str, wanted: str | None, host: Host) -> tuple[Generation, str]:
    """The generation to go back to, and what the release hooks since then have done, in words."""
    from hostel.errors import UsageError
    from hostel.server import generations, history

    places, doing = host.places.site(name), f"rolling {name} back"
    live = generations.live_of(places, host.machine)
    if live is None:
        raise UsageError(
            doing, "no such site is live here", "`hostel status` lists those that are."
        )
    known = generations.all_of(places, host.machine)
    listed = "\n".join(_line(one, live.number) for one in known.values())
    try:
        old = (
            history.named(wanted, known)
            if wanted is not None
            else history.before(live.number, known)
        )
    except ValueError as error:
        remedy = "Name one of these: its number, or how its release begins."
        raise UsageError(doing, str(error), remedy, listed) from None
    if old is None:
        remedy = "Any of these can be named: --to NUMBER." if len(known) > 1 else ""
        raise UsageError(doing, "nothing that was live before it is kept", remedy, listed)
    if old.number == live.number:
        raise UsageError(doing, f"generation {old.number} is what is live", "", listed)
    ran = history.hooks_since(old, known.values())
    return old, "; ".join(f"`{hook}` of release {release}" for release, hook in ran.items())


def _line(one: Generation, live: int) -> str:
    again = f" ({one.of} again)" if one.of else ""
    return (
        f"generation {one.number}{again}: release {one.release.id}, made {one.made}"
        f"{', live' if one.number == live else ''}"
    )
