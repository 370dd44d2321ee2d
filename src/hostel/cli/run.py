"""`hostel run -- CMD`: a command as a site's user, in its live release and environment."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  hostel run -- python manage.py createsuperuser
  hostel run --site guestbook -- python
  hostel run -- env
"""


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True})
@click.option("--site", metavar="NAME", help="The site; by default that of this folder.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(site: str | None, command: tuple[str, ...]) -> None:
    """Run COMMAND as the site's user, in its live release's code, Python and environment.

    What it reads and writes is this terminal; its exit code is the one of `hostel run`.
    """
    from hostel.cli.which import site_name
    from hostel.server.host import host_here
    from hostel.server.running import become

    become(site_name(site), command, host_here())
