"""`hostel apply`: make a server what its site files say, with nothing lost on the way."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from hostel.cli import screen

if TYPE_CHECKING:
    from hostel.server.deploy import Deployed

EPILOG = """\b
Examples:
  hostel apply                     the site in this folder goes live
  hostel apply sites/*             several, one after the other
  hostel apply --all               every site of this server anew
  hostel apply --keep file:/etc/systemd/system/hostel-router.service
"""


@click.command(epilog=EPILOG)
@click.argument("targets", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every site that is live on this server.")
@click.option(
    "--keep",
    multiple=True,
    metavar="KEY",
    help="Leave what was changed by hand as it is; KEY as `hostel plan --json` shows it.",
)
@click.option("--yes", "-y", is_flag=True, help="Install missing packages without asking.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object with "version": 1.')
def apply(
    targets: tuple[str, ...], everything: bool, keep: tuple[str, ...], yes: bool, as_json: bool
) -> None:
    """Bring the sites in the folders TARGETS (default: here) into service on this server.

    Each change is a new instance and a switch: if the new one does not answer, the old one serves
    on, and the exit code is 4.
    """
    from hostel.cli.plan import targets_of
    from hostel.plan import Key
    from hostel.server import deploy, planning, prepare
    from hostel.server.host import host_here, locked

    host = host_here()
    kept = frozenset(Key(text) for text in keep)
    steps = screen.Steps()
    done: list[Deployed] = []
    with locked(host.places):
        if deploy.mend(host).undone:
            screen.note("an earlier run was cut short; what it had begun was undone")
        projects = [
            prepare.open_project(target)
            for target in targets_of(targets, host, everything=everything)
        ]
        deploy.foresee(projects, host, kept)
        if not yes:
            _consent(planning.missing_packages(host, [project.site for project in projects]))
        deploy.settle_machine(host, steps, kept)
        for project in projects:
            for text in project.notes:
                screen.note(text)
            deployed = deploy.converge(project, host, steps, kept)
            done.append(deployed)
            if not as_json:
                announce(deployed)
    if as_json:
        click.echo(json.dumps({"version": 1, "sites": [as_facts(one) for one in done]}, indent=2))


def _consent(packages: tuple[str, ...]) -> None:
    """Ask once before apt installs anything; where nobody can be asked, `apply` was the answer."""
    if packages and sys.stdin.isatty():
        click.echo(f"apt will install: {' '.join(packages)}", err=True)
        click.confirm("Go on?", default=True, abort=True, err=True)


def announce(deployed: Deployed) -> None:
    """Say where it is: its address to stdout, what else is worth knowing to stderr."""
    setting = deployed.setting
    what = "is live" if deployed.changed else "was live already: nothing to change"
    click.echo(f"{click.style(setting.site.name, bold=True)} {what}", err=True)
    click.echo(click.style(deployed.url, fg="green", bold=True))
    rows = {
        "release": f"{setting.release.id}, generation {setting.number}",
        "httpd": f"{setting.processes} processes × {setting.threads} threads",
        "logs": screen.command("logs", setting.site.name),
    }
    for label, text in rows.items():
        click.echo(f"  {label:<9}{text}", err=True)
    if deployed.note:
        screen.note(deployed.note)
    if deployed.front:
        screen.note(f"the server in front needs these lines:\n{deployed.front}")


def as_facts(deployed: Deployed) -> dict[str, Any]:
    setting = deployed.setting
    return {
        "name": setting.site.name,
        "url": deployed.url,
        "generation": setting.number,
        "release": setting.release.id,
        "changed": deployed.changed,
        "note": deployed.note,
    }
