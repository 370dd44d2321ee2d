"""`hostel plan`: what `hostel apply` would do, change by change, and why. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hostel.cli import screen

if TYPE_CHECKING:
    from hostel.drift import Drift
    from hostel.plan import Change
    from hostel.server.host import Host
    from hostel.server.planning import Planned
    from hostel.server.prepare import Project
    from hostel.server.reasons import Reason

EPILOG = """\b
Examples:
  hostel plan                      for the site in this folder
  hostel plan --all                for every site of this server
  hostel plan --exit-code          exit code 3 if anything would change
  hostel plan --json | jq '.plans[].changes[].key'
"""
CHANGES = 3
"""Exit code of `--exit-code` where something would change."""


@click.command(epilog=EPILOG)
@click.argument("targets", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every site that is live on this server.")
@click.option("--json", "as_json", is_flag=True, help='One JSON object with "version": 1.')
@click.option("--exit-code", is_flag=True, help="Exit with 3 if anything would change.")
def plan(targets: tuple[str, ...], everything: bool, as_json: bool, exit_code: bool) -> None:
    """Show what `hostel apply` would do for the sites in the folders TARGETS (default: here).

    What somebody changed by hand is marked "by hand"; apply puts it back, unless --keep is given.
    """
    from hostel.server.host import host_here

    host = host_here()
    plans = plans_of(targets_of(targets, host, everything=everything), host, quiet=as_json)
    changes = any(one["changes"] for one in plans)
    if as_json:
        click.echo(json.dumps({"version": 1, "plans": plans}, indent=2))
    if exit_code and changes:
        raise click.exceptions.Exit(CHANGES)


def targets_of(given: tuple[str, ...], host: Host, *, everything: bool) -> tuple[str, ...]:
    """The projects that are meant: those given, all that are live, or the one in this folder."""
    from hostel.cli import which
    from hostel.errors import UsageError
    from hostel.server import generations

    if not everything:
        return given or (".",)
    if given:
        raise click.UsageError("--all means every site; no other can be named beside it.")
    found = []
    for name in which.sites():
        live = generations.live_of(host.places.site(name), host.machine)
        found += [live.root] if live else []
    if not found:
        raise UsageError("looking for sites", "there is none on this server yet", "hostel apply")
    return tuple(found)


def plans_of(targets: tuple[str, ...], host: Host, *, quiet: bool = False) -> list[dict[str, Any]]:
    """The plans of the server and of these projects, shown on the way unless `quiet`."""
    from hostel.errors import HostelError
    from hostel.server import deploy, planning, prepare

    projects = [prepare.open_project(target) for target in targets]
    try:
        deploy.foresee(projects, host, planning.NOTHING)
    except HostelError as error:
        screen.note(f"apply will refuse: {error}")
    packages = planning.of_packages(host)
    first = [*([packages] if packages.plan else []), planning.of_machine(host)]
    plans = [_said(planned, []) for planned in first]
    if not quiet:
        for planned in first:
            _show(planned, [])
    if packages.plan:
        screen.note("the sites themselves are planned when these packages are there")
        return plans
    httpd = host.httpd()
    for project in projects:
        for planned, why in _of_site(project, host, httpd):
            plans.append(_said(planned, why))
            if not quiet:
                _show(planned, why)
    return plans


def _of_site(project: Project, host: Host, httpd: Any) -> Iterator[tuple[Planned, list[Reason]]]:
    """The site's own plan, and before it that of the PostgreSQL it needs, if there is none yet."""
    from hostel import envstore
    from hostel.server import planning, prepare, reasons

    prepared = prepare.of_project(project, host, httpd)
    postgresql = planning.of_postgresql(prepared.setting, host)
    if postgresql is not None and postgresql.plan:
        yield postgresql, []
    planned = planning.of_site(prepared, host)
    secret = envstore.load(prepared.setting.places.store).values
    why = reasons.reasons(prepared.live, prepared.setting, secret) if prepared.is_new else []
    yield planned, why


def _said(planned: Planned, why: list[Reason]) -> dict[str, Any]:
    from hostel.server.shown import as_json

    every = (*planned.plan.changes, *planned.plan.removals)
    return {
        "about": planned.title,
        "reasons": [{"what": one.what, "before": one.before, "after": one.after} for one in why],
        "drift": [{"key": one.key, "what": one.what} for one in planned.drift],
        "changes": [as_json(change) for change in every],
    }


def _show(planned: Planned, why: list[Reason]) -> None:
    title = click.style(planned.title, bold=True)
    if not planned.plan:
        click.echo(f"{title}: nothing to change")
        return
    click.echo(f"{title}:")
    for one in why:
        arrow = f"{one.before} → {one.after}" if one.before else one.after
        click.echo(f"  {one.what:<16} {arrow or 'removed'}")
    by_hand = {one.key: one for one in planned.drift}
    for change in (*planned.plan.changes, *planned.plan.removals):
        _show_change(change, by_hand.get(change.key))


def _show_change(change: Change, drift: Drift | None) -> None:
    from hostel.server.shown import shown

    said = shown(change)
    color = {"+": "green", "~": "yellow", "-": "red"}[said.sign]
    sign = click.style(said.sign, fg=color, bold=True)
    by_hand = click.style(f"  by hand: {drift.what}", fg="magenta") if drift else ""
    click.echo(f"  {sign} {said.kind:<11} {said.name}{_sides(said.before, said.after)}{by_hand}")
    for line in said.lines:
        click.echo(f"      {line}")


def _sides(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """Both sides on one line; of what is made or removed, only what a person wants to know."""
    if before is None or after is None:
        said = after or before or {}
        return "".join(
            f"  {_text(said[name])}" for name in ("names", "owner", "mode") if name in said
        )
    names = dict.fromkeys([*before, *after])
    return "".join(
        f"  {name} {_text(before.get(name, ''))} → {_text(after.get(name, ''))}" for name in names
    )


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
