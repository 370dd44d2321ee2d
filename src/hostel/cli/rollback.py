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
        if deploy.mend(host):
            screen.note("an earlier run was cut short; what it had begun was undone")
        old, hooks = chosen(name, wanted, host)
        click.echo(f"back to generation {old.number}, made {old.made}", err=True)
        deployed = deploy.back_to(old, host, screen.Steps())
    if hooks:
        screen.note(f"not undone, since only you can know how: {hooks}")
    if as_json:
        click.echo(json.dumps({"version": 1, "sites": [as_facts(deployed)]}, indent=2))
    else:
        announce(deployed)


def chosen(name: str, wanted: str | None, host: Host) -> tuple[Generation, str]:
    """The generation to go back to, and what the release hooks since then have done, in words."""
    from hostel.errors import UsageError
    from hostel.server import generations

    places = host.places.site(name)
    doing = f"rolling {name} back"
    live = generations.live_of(places, host.machine)
    if live is None:
        raise UsageError(
            doing, "no such site is live here", "`hostel status` lists those that are."
        )
    known = generations.all_of(places, host.machine)
    current = known.get(live.number)
    # A rollback's generation is an old one again: what counts is what it was made from.
    origin = current.of or current.number if current else live.number
    earlier = [one for one in known.values() if one.number < origin and one.of is None]
    if wanted is not None:
        earlier = [
            one
            for one in known.values()
            if one.number != live.number
            and (
                str(one.number) == wanted
                or (len(wanted) >= 4 and one.release.id.startswith(wanted))
            )
        ]
    if not earlier:
        listed = ", ".join(f"{one.number} ({one.release.id})" for one in known.values())
        raise UsageError(
            doing,
            f"there is no generation {wanted} of it" if wanted else "nothing was live before it",
            f"There are: {listed}" if listed else "",
        )
    old = earlier[-1]
    since = [one for one in known.values() if old.number < one.number <= live.number]
    return old, _hooks(since, old)


def _hooks(since: list[Generation], old: Generation) -> str:
    """The release hooks of releases that came after the old one."""
    ran = {
        one.release.id: " ".join(one.site["hooks"]["release"])
        for one in since
        if one.site.get("hooks", {}).get("release")
        and one.of is None
        and one.release.id != old.release.id
    }
    return "; ".join(f"`{hook}` of release {release}" for release, hook in ran.items())
