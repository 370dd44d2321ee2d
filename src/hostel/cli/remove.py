"""`hostel remove`: take a site off this server; its data only if so said."""

from __future__ import annotations

import click

from hostel.cli import screen

EPILOG = """\b
Examples:
  hostel remove guestbook          asks first; its data stay
  hostel remove guestbook --yes    in scripts
  hostel remove guestbook --data   with its data, logs and stored variables
  hostel remove --server           the router too, when no site is left
"""


@click.command(epilog=EPILOG)
@click.argument("site", required=False)
@click.option("--data", is_flag=True, help="Also remove its data, logs and stored variables.")
@click.option("--server", is_flag=True, help="Remove the router, units, folders and packages.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def remove(site: str | None, data: bool, server: bool, yes: bool) -> None:
    """Take SITE off this server: its route, instances, releases and user.

    With --server, take away what is left of Hostel's when the last site is gone. Packages go that
    Hostel installed and nobody else needs; with --data, the data of former sites and the local
    certificate authority go too.
    """
    from hostel.cli.which import site_name
    from hostel.server import removal, status
    from hostel.server.deploy import mend
    from hostel.server.host import host_here, locked

    if server and site is not None:
        raise click.UsageError("--server is about no site: remove that one first.")
    host = host_here()
    name = "" if server else site_name(site)
    if not yes:
        _consent(name, data=data)
    with locked(host.places):
        mended = mend(host)
        if mended.undone:
            screen.note("an earlier run was cut short; what it had begun was undone")
        if server:
            left = removal.remove_server(host, screen.Steps(), data=data)
        else:
            left = removal.remove(name, host, screen.Steps(), mended.cleared, data=data)
            if not status.names_on(host):
                more = screen.command("remove", "--server", "--data" if data else "")
                left.append(f"no site is left; this removes the router and packages too: {more}")
    click.echo(f"{name or 'all that Hostel had on this server'} is removed")
    for text in left:
        screen.note(text)


def _consent(name: str, *, data: bool) -> None:
    import sys

    from hostel.errors import UsageError

    what = f"the site {name}" if name else "the router and all that Hostel made"
    if not sys.stdin.isatty():
        raise UsageError(f"removing {what}", "nobody can be asked here", "Say so with --yes.")
    how = "with its data and logs" if data else "its data and logs stay"
    if not name:
        how = "with the data of former sites" if data else "the data of former sites stay"
    click.confirm(f"Remove {what} from this server, {how}?", abort=True, err=True)
