"""`hostel down`: stop what an `up` of this site started; its data stay."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="\b\nExamples:\n  hostel down\n  hostel down examples/guestbook",
)
@click.argument("target", default=".")
@click.option("--dir", "state", type=click.Path(path_type=Path), help="Folder of the site's state.")
def down(target: str, state: Path | None) -> None:
    """Stop the site TARGET: httpd after its requests in flight, then PostgreSQL."""
    from hostel.platforms.private import machine_here
    from hostel.project import name_of, open_place, running
    from hostel.up import take_down

    place = open_place(target, state, machine_here())
    known = running(place.layout, place.machine)
    name = known.name if known else name_of(target, place)
    if take_down(place.layout, place.machine):
        click.echo(f"{name} is down; its data stay in {place.layout.state}")
    else:
        click.echo(f"{name} was not up")
