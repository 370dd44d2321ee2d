"""`hostel status`: what runs, where it answers, how it fares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hostel.cli import screen

if TYPE_CHECKING:
    from hostel.project import Place


@click.command(epilog="\b\nExamples:\n  hostel status\n  hostel status --json | jq .sites[0].state")
@click.argument("target", default=".")
@click.option("--dir", "state", type=click.Path(path_type=Path), help="Folder of the site's state.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object with "version": 1.')
def status(target: str, state: Path | None, as_json: bool) -> None:
    """Say of the site TARGET whether it is up, where, with which release and memory."""
    from hostel.platforms.private import machine_here
    from hostel.project import open_place

    site = describe(open_place(target, state, machine_here()), target)
    if as_json:
        click.echo(json.dumps({"version": 1, "sites": [site]}, indent=2))
        return
    color = {"up": "green", "down": "yellow", "failing": "red"}[site["state"]]
    click.echo(f"{site['name']}  {click.style(site['state'], fg=color, bold=True)}")
    if site["state"] == "down":
        return
    rows = {
        "address": "  ".join(site["urls"]),
        "release": site["release"],
        "httpd": f"pid {site['pid']}, {site['processes']} processes × {site['threads']} threads",
        "memory": f"{site['memory_bytes'] / 1e6:.0f} MB" if site["memory_bytes"] else "",
        "up for": _duration(site["uptime_seconds"]),
        "answers": site["answer"],
        "database": site["database"] or "",
        "logs": site["log"],
    }
    for label, text in rows.items():
        if text:
            click.echo(f"  {label:<9} {screen.short(text)}")


def describe(place: Place, target: str) -> dict[str, Any]:
    """The facts of one site as `--json` shows them; asks the site itself whether it is well."""
    import time

    from hostel import processes
    from hostel import project as projects
    from hostel.errors import HostelError
    from hostel.stage import front_of
    from hostel.verify import Patience, verify

    layout, machine = place.layout, place.machine
    who = projects.instance_of(layout, machine)
    known = projects.running(layout, machine)
    if who is None or known is None:
        return {
            "name": projects.name_of(target, place),
            "state": "down",
            "urls": [],
            "release": None,
            "pid": None,
            "database": None,
        }
    asked = Patience(known.health, 5)
    try:
        verify(known.name, asked, front_of(known), lambda: False, layout.error_log, 1 << 62)
        state, answer = "up", f"well ({known.health})"
    except HostelError as error:
        state, answer = "failing", error.happened
    return {
        "name": known.name,
        "state": state,
        "answer": answer,
        "urls": list(known.urls),
        "release": known.release,
        "pid": who.pid,
        "processes": known.processes,
        "threads": known.threads,
        "memory_bytes": processes.memory(who.pid),
        "uptime_seconds": round(time.time() - who.began),
        "database": known.database,
        "log": known.log,
        "root": known.root,
    }


def _duration(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds} s"
