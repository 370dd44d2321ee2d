"""`hostel status`: what runs, where it answers, how it fares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hostel.cli import screen

if TYPE_CHECKING:
    from hostel.project import Place


EPILOG = """\b
Examples:
  hostel status                    the site in this folder; on a server, all of them
  hostel status guestbook          the site of that name on this server
  hostel status --json | jq .sites[0].state
"""
SERVER = Path("/var/lib/hostel/sites")
COLORS = {"up": "green", "down": "yellow", "failing": "red"}


@click.command(epilog=EPILOG)
@click.argument("target", required=False)
@click.option("--dir", "state", type=click.Path(path_type=Path), help="Folder of the site's state.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object with "version": 1.')
def status(target: str | None, state: Path | None, as_json: bool) -> None:
    """Say of the site TARGET whether it is up, where, with which release and memory.

    TARGET is a folder, as `hostel up` takes it, or the name of a site on this server.
    """
    from hostel.platforms.private import machine_here
    from hostel.project import open_place

    names = [] if state is not None else on_server(target)
    if names:
        _show_server(names, as_json)
        return
    place = target or "."
    site = describe(open_place(place, state, machine_here()), place)
    if as_json:
        click.echo(json.dumps({"version": 1, "sites": [site]}, indent=2))
        return
    _show_private(site)


def on_server(target: str | None) -> list[str]:
    """The sites of this server that are meant; none where the target is no business of one."""
    if target is None:
        here = Path(".hostel").exists() or not SERVER.is_dir()
        return [] if here else sorted(path.name for path in SERVER.glob("*/"))
    known = (SERVER / target).is_dir() if "/" not in target and target != "." else False
    return [target] if known else []


def _show_server(names: list[str], as_json: bool) -> None:
    from hostel.server.host import host_here
    from hostel.server.status import describe as of_server

    host = host_here()
    sites = [of_server(name, host) for name in names]
    if as_json:
        click.echo(json.dumps({"version": 1, "sites": sites}, indent=2))
        return
    if len(sites) == 1:
        _show_site(sites[0])
    else:
        _show_table([_row(site) for site in sites])


HEADINGS = ("site", "state", "address", "release", "age", "requests", "5xx", "memory", "tls")


def _row(site: dict[str, Any]) -> tuple[str, ...]:
    """One site on a line: what one looks for when something is wrong somewhere."""
    if site["release"] is None:
        return (site["name"], site["state"], *[""] * (len(HEADINGS) - 2))
    traffic, days = site["traffic"], site["certificate_days_left"]
    return (
        site["name"] + ("*" if site["drift"] else ""),
        site["state"],
        site["urls"][0],
        f"{site['release']} ({site['generation']})",
        _duration(site["age_seconds"]),
        f"{'≥' if traffic['at_least'] else ''}{traffic['requests']}",
        str(traffic["errors"]),
        f"{site['memory_bytes'] / 1e6:.0f} MB" if site["memory_bytes"] else "",
        f"{days} days" if days is not None else "off",
    )


def _show_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    for number, row in enumerate([HEADINGS, *rows]):
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        if number:
            cells[1] = click.style(cells[1], fg=COLORS[row[1]], bold=True)
        click.echo("  ".join(cells).rstrip())
    if any(row[0].endswith("*") for row in rows):
        click.echo("* something of it was changed by hand: hostel status NAME, hostel plan")


def _show_site(site: dict[str, Any]) -> None:
    shown = click.style(site["state"], fg=COLORS[site["state"]], bold=True)
    click.echo(f"{click.style(site['name'], bold=True)}  {shown}")
    if site["release"] is None:
        return
    back = f", as {site['rolled_back_to']} was" if site["rolled_back_to"] else ""
    traffic, days = site["traffic"], site["certificate_days_left"]
    least = "at least " if traffic["at_least"] else ""
    rows = {
        "address": "  ".join(site["urls"]),
        "release": f"{site['release']}, generation {site['generation']}{back}, "
        f"{_duration(site['age_seconds'])} old, Python {site['python']}",
        "httpd": f"pid {site['pid']}, {site['processes']} processes × {site['threads']} threads",
        "memory": f"{site['memory_bytes'] / 1e6:.0f} MB" if site["memory_bytes"] else "",
        "answers": site["answer"],
        "requests": f"{least}{traffic['requests']} in {traffic['minutes']:.0f} min, "
        f"{traffic['errors']} errors",
        "tls": f"certificate good for {days} days" if days is not None else "off",
        "by hand": "; ".join(site["drift"]),
        "project": site["root"],
        "logs": screen.command("logs", site["name"]),
    }
    for label, text in rows.items():
        if text:
            click.echo(f"  {label:<9} {text}")


def _show_private(site: dict[str, Any]) -> None:
    click.echo(f"{site['name']}  {click.style(site['state'], fg=COLORS[site['state']], bold=True)}")
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
