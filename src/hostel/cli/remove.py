"""`hostel remove`: take a site off this server; its data only if so said."""

from __future__ import annotations

import click

from hostel.cli import screen

EPILOG = """\b
Examples:
  hostel remove guestbook          asks first; its data stay
  hostel remove guestbook --yes    in scripts
  hostel remove guestbook --data   with its data, logs and stored variables
"""


@click.command(epilog=EPILOG)
@click.argument("site", required=False)
@click.option("--data", is_flag=True, help="Also remove its data, logs and stored variables.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def remove(site: str | None, data: bool, yes: bool) -> None:
    """Take SITE off this server: its route, instances, releases and user."""
    import sys

    from hostel.cli.which import site_name
    from hostel.errors import UsageError
    from hostel.server import removal as removals
    from hostel.server.deploy import mend
    from hostel.server.host import host_here, locked

    host, name = host_here(), site_name(site)
    if not yes:
        what = "with its data and logs" if data else "its data and logs stay"
        if not sys.stdin.isatty():
            raise UsageError(f"removing {name}", "nobody can be asked here", "Say so with --yes.")
        click.confirm(f"Remove the site {name} from this server, {what}?", abort=True, err=True)
    with locked(host.places):
        mended = mend(host)
        if mended.undone:
            screen.note("an earlier run was cut short; what it had begun was undone")
        left = removals.remove(name, host, screen.Steps(), mended.cleared, data=data)
    click.echo(f"{name} is removed")
    for text in left:
        screen.note(text)
