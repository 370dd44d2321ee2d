"""`hostel cert`: the local certificate authority: trust it, show it, find it."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hostel.cli import screen
from hostel.errors import HostelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostel.trust import Step

EPILOG = """\b
Examples:
  hostel cert trust                        no more browser warnings
  hostel cert trust --print | sh           what it takes, then do it
  hostel cert untrust                      take it back
  curl --cacert "$(hostel cert path)" https://localhost:8443/
  SSL_CERT_FILE="$(hostel cert path)" python client.py
"""

UNDO = "undo it with: hostel cert untrust"


@click.group(epilog=EPILOG)
def cert() -> None:
    """The local certificate authority, with which sites on this machine have real HTTPS.

    It is made once for each user; its key never leaves this machine.
    """


@cert.command()
@click.option("--print", "only_print", is_flag=True, help="Print the commands, run none.")
def trust(only_print: bool) -> None:
    """Make this machine and your browsers trust the local CA.

    Does what you may do and prints the commands that need root. Whoever trusts it trusts all
    that holders of its key sign: the key is readable by you alone.
    """
    from hostel import localca
    from hostel import trust as trusting
    from hostel.machine import Machine

    machine = Machine()
    authority = localca.ensure(localca.default_folder(), machine)
    facts = trusting.look(authority, machine)
    todo = trusting.steps(facts)
    done = _carry_out(todo, facts.root, only_print)
    still = {step.what for step in trusting.steps(trusting.look(authority, machine))}
    for step in done:
        if step.what in still:
            raise HostelError(
                f"changing {step.what}", "its commands ran, but the CA is not in it", UNDO
            )
    if not todo:
        click.echo("the local CA is trusted already; " + UNDO, err=True)
    elif done:
        click.echo("restart your browser to let it notice; " + UNDO, err=True)


@cert.command()
@click.option("--print", "only_print", is_flag=True, help="Print the commands, run none.")
def untrust(only_print: bool) -> None:
    """Undo `hostel cert trust`, for the CA there is and for earlier ones of yours."""
    from hostel import localca
    from hostel import trust as trusting
    from hostel.machine import Machine

    machine = Machine()
    authority = None
    # A damaged CA can be untrusted too: its traces are known by name.
    with suppress(HostelError):
        authority = localca.load(localca.default_folder(), machine)
    facts = trusting.look(authority, machine)
    todo = trusting.undo(facts)
    _carry_out(todo, facts.root, only_print)
    if not todo:
        click.echo("nothing here trusts the local CA", err=True)


@cert.command()
def path() -> None:
    """Print where the CA's certificate lies (made now if need be), and nothing else."""
    from hostel import localca
    from hostel.machine import Machine

    click.echo(localca.ensure(localca.default_folder(), Machine()).cert_path)


@cert.command()
@click.option("--json", "as_json", is_flag=True, help='One JSON object with "version": 1.')
def show(as_json: bool) -> None:
    """Show the local CA: subject, fingerprint, days left, place."""
    found = _authority()
    if found is None:
        raise HostelError(
            "showing the local certificate authority",
            "there is none yet",
            "`hostel up` makes it; so does: hostel cert trust",
        )
    if as_json:
        click.echo(json.dumps({"version": 1, "certificate": found}, indent=2))
    else:
        _show(found)


@cert.command("list")
@click.argument("target", default=".")
@click.option("--dir", "state", type=click.Path(path_type=Path), help="Folder of the site's state.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object with "version": 1.')
def list_(target: str, state: Path | None, as_json: bool) -> None:
    """List the local CA and the certificates of the site TARGET, if there is one."""
    found = [one for one in (_authority(), *_of_site(target, state)) if one is not None]
    if as_json:
        click.echo(json.dumps({"version": 1, "certificates": found}, indent=2))
        return
    for number, one in enumerate(found):
        if number:
            click.echo()
        _show(one)
    if not found:
        click.echo("no certificates yet; `hostel up` makes them", err=True)


def _carry_out(todo: Sequence[Step], root: bool, only_print: bool) -> list[Step]:
    """Do what we may and print the rest; every step is tried before the first failure is told."""
    from hostel import trust as trusting
    from hostel.machine import Machine

    done: list[Step] = []
    failed: list[HostelError] = []
    for step in todo:
        if step.hint:
            screen.note(f"{step.what}: {step.hint}")
        elif only_print or (step.root and not root):
            click.echo(f"for {step.what}, run:", err=True)
            sudo = ("sudo",) if step.root and not root else ()
            for command in step.commands:
                click.echo(shlex.join([*sudo, *command]))
        else:
            try:
                trusting.carry_out(step, Machine())
            except HostelError as error:
                failed.append(error)
            else:
                click.echo(f"changed {step.what}", err=True)
                done.append(step)
    for other in failed[1:]:
        screen.error(other)
    if failed:
        raise failed[0]
    return done


def _authority() -> dict[str, Any] | None:
    from hostel import localca
    from hostel.machine import Machine

    found = localca.load(localca.default_folder(), Machine())
    return None if found is None else _described("local CA", found.cert_pem, found.cert_path)


def _of_site(target: str, state: Path | None) -> list[dict[str, Any]]:
    from hostel.platforms.private import machine_here
    from hostel.project import open_project

    try:
        project = open_project(target, state, machine_here())
    except UsageError:
        if target != "." or state is not None:
            raise
        return []
    found = []
    for place in sorted(project.layout.instance.glob("tls-*.pem")):
        with suppress(OSError, ValueError):
            pem = project.machine.read(place)
            found.append(_described(f"site {project.site.name}", pem or b"", place))
    return found


def _described(what: str, pem: bytes, place: Path) -> dict[str, Any]:
    from hostel import certificate

    facts = certificate.facts(pem)
    return {
        "what": what,
        "subject": facts.subject,
        "names": list(facts.names),
        "sha256": facts.sha256,
        "not_after": facts.not_after.isoformat(),
        "days_left": facts.days_left,
        "path": str(place),
    }


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{click.style(found['what'], bold=True)}  {found['subject']}")
    if found["names"]:
        click.echo(f"  names      {', '.join(found['names'])}")
    click.echo(f"  sha256     {found['sha256']}")
    click.echo(f"  days left  {found['days_left']}  (until {found['not_after'][:10]})")
    click.echo(f"  path       {found['path']}")
