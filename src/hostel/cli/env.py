"""`hostel env`: the variables that are kept for a site on a server, over `[env]` and `.env`.

A value comes in by a hidden prompt, stdin or a file, never by the command line, which everybody on
the machine can read and shells remember; it goes out masked unless --show asks for it.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hostel.cli import screen, variables, which
from hostel.errors import HostelError, UsageError

if TYPE_CHECKING:
    from hostel.envstore import Change, Entry, Live

EPILOG = """\b
Examples:
  sudo hostel env set SECRET_KEY            asks for it, twice, without showing it
  pass show shop/key | sudo hostel env set SECRET_KEY --site shop
  sudo hostel env import production.env     all variables of a dotenv file
  sudo hostel env list                      names and origins; values are hidden
  sudo hostel env diff                      what the running site does not have yet
  sudo hostel env unset SECRET_KEY OLD_KEY
"""

site_option = click.option(
    "--site",
    metavar="NAME|FOLDER",
    help="Which site; by default that of this folder, or the only one there is.",
)
no_apply_option = click.option(
    "--no-apply", is_flag=True, help="Keep it for the next apply; what runs stays as it is."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help='One JSON object with "version": 1.'
)


@click.group(epilog=EPILOG)
def env() -> None:
    """The variables of a site on this server: set, unset, list, import, diff.

    They are kept in a file that only root can read, and win over `.env`, which wins over [env] in
    the site file. A change goes live at once, by a switch to a new generation.
    """


@env.command(
    "set",
    epilog="\b\nExamples:\n  sudo hostel env set SECRET_KEY\n"
    "  sudo hostel env set TLS_KEY --site shop < key.pem",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@site_option
@no_apply_option
def set_(names: tuple[str, ...], site: str | None, no_apply: bool) -> None:
    """Set variables NAME...: each from a hidden prompt, or one from stdin.

    From stdin that is no terminal the value is exactly what comes, UTF-8, without one newline at
    its end.
    """
    variables.refuse_values(names, "set")
    name, path = _mine(site, "set", names)
    values = variables.given(names)
    _carry_out(name, path, lambda kept: {**kept, **values}, no_apply)


@env.command(epilog="\b\nExamples:\n  sudo hostel env unset SECRET_KEY --site shop")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@site_option
@no_apply_option
def unset(names: tuple[str, ...], site: str | None, no_apply: bool) -> None:
    """Remove variables NAME... from what is kept; then [env] and `.env` count again."""
    variables.refuse_values(names, "unset")
    name, path = _mine(site, "unset", names)

    def without(kept: Mapping[str, str]) -> Mapping[str, str]:
        for one in names:
            if one not in kept:
                raise _not_kept(one, name, kept)
        return {one: value for one, value in kept.items() if one not in names}

    _carry_out(name, path, without, no_apply)


@env.command("list", epilog="\b\nExamples:\n  sudo hostel env list\n  sudo hostel env list --json")
@site_option
@click.option("--show", is_flag=True, help="Show all values; only who can read the store may.")
@json_option
def list_(site: str | None, show: bool, as_json: bool) -> None:
    """List the variables with where each comes from: the store, `.env`, or [env]."""
    from hostel import envstore

    name = which.site_name(site)
    path = _store(name)
    kept = envstore.load(path)
    entries = _entries(_root(name, site, live_environment(name)), kept.values)
    if as_json:
        shown = [variables.described(entry, show) for entry in entries]
        click.echo(json.dumps({"version": 1, "site": name, "variables": shown}, indent=2))
        return
    variables.table(entries, show)
    if not entries:
        click.echo(f"no variables of {name} yet; set one with: hostel env set NAME", err=True)
    elif show and kept.values:
        screen.note(f"values of the store are for root alone, who can read {path}")


@env.command(
    "import",
    epilog="\b\nExamples:\n  sudo hostel env import production.env\n"
    "  ssh old-server cat shop/.env | sudo hostel env import - --site shop",
)
@click.argument("file", metavar="FILE|-")
@site_option
@click.option("--replace", is_flag=True, help="Remove whatever is kept and not in FILE.")
@no_apply_option
def import_(file: str, site: str | None, replace: bool, no_apply: bool) -> None:
    """Keep the variables of FILE, written like a `.env`; - reads stdin."""
    from hostel import envstore
    from hostel.environ import read_dotenv

    name, path = _mine(site, "import", (file,))
    origin = "stdin" if file == "-" else file
    found = read_dotenv(variables.text(variables.read(file), f"reading {origin}"), origin)
    for one, value in found.items():
        envstore.checked(one, value)
    if not found:
        raise UsageError(
            f"reading {origin}",
            "there is no NAME=value in it",
            "Give another file; to remove variables, use: hostel env unset NAME...",
        )
    _carry_out(name, path, lambda kept: found if replace else {**kept, **found}, no_apply)


@env.command(epilog="\b\nExamples:\n  sudo hostel env diff || echo pending")
@site_option
@json_option
def diff(site: str | None, as_json: bool) -> None:
    """Compare what the next apply would give the app with what it runs with now.

    Exit code 3 where they differ, 0 where not.
    """
    from hostel import envstore, masking

    name = which.site_name(site)
    kept = envstore.load(_store(name)).values
    live = live_environment(name)
    entries = _entries(_root(name, site, live), kept)
    wanted = {entry.name: entry.value for entry in entries}
    before = live.environ if live else {}
    after = {**(live.given if live else {}), **wanted}
    # What runs may hold values that came from the store and are no longer in it.
    changes = masking.difference(before, after, {*before, *kept})
    origins = {entry.name: entry.origin for entry in entries}
    if as_json:
        shown = [variables.changed(change, origins.get(change.name)) for change in changes]
        click.echo(json.dumps({"version": 1, "site": name, "changes": shown}, indent=2))
    else:
        for change in changes:
            click.echo(variables.change_line(change, origins.get(change.name, "")))
    if live is None:
        screen.note(f"{name} is not live on this server yet")
    if changes:
        click.get_current_context().exit(3)
    click.echo(f"{name} runs with the variables it should have", err=True)


# -- what belongs to the server ------------------------------------------------------------------


def go_live(name: str) -> None:
    """Make the site run with what is kept for it now: a switch, as every change of a site is."""
    if not which.is_live(name):
        click.echo(f"{name} gets it with its first apply: {variables.sudo('apply')}", err=True)
        return
    from hostel.cli.apply import announce
    from hostel.server.host import host_here
    from hostel.server.live import converge_site

    announce(converge_site(name, host_here(), screen.Steps()))


def live_environment(name: str) -> Live | None:
    """What the site's live generation runs with; None where there is none."""
    if not which.is_live(name):
        return None
    if os.geteuid() != 0:
        raise HostelError(
            f"looking at what {name} runs with",
            "only root may",
            f"Run: {variables.sudo('env', 'list', '--site', name)}",
        )
    from hostel.server import live
    from hostel.server.host import host_here

    return live.live_environment(name, host_here())


# -- changing --------------------------------------------------------------------------------------


def _mine(site: str | None, verb: str, words: Sequence[str]) -> tuple[str, Path]:
    """The site and the place of its store, where we may change it; before anything is asked."""
    from hostel import envstore

    name = which.site_name(site)
    path = _store(name)
    if envstore.may_keep(path):
        others = which.sites()
        if others and name not in others:
            screen.note(f"{name} is new here; this server knows: {', '.join(others)}")
        return name, path
    chosen = () if site is None else ("--site", site)
    raise HostelError(
        f"changing the variables of {name}",
        f"only root may: they are kept in {path}",
        f"Run: {variables.sudo('env', verb, *words, *chosen)}",
    )


def _carry_out(name: str, path: Path, change: Change, no_apply: bool) -> None:
    """Change what is kept and make it live; where that fails, both are as before."""
    from hostel import envstore, masking
    from hostel.machine import Machine

    machine = Machine()
    before, after = envstore.update(path, change, machine)
    changes = masking.difference(before.values, after.values, {*before.values, *after.values})
    for one in changes:
        click.echo(variables.change_line(one), err=True)
    if not changes:
        click.echo(f"what is kept for {name} is that already", err=True)
    if no_apply:
        click.echo(f"kept for the next apply of {name}: {variables.sudo('apply')}", err=True)
        return
    try:
        go_live(name)
    except (HostelError, KeyboardInterrupt):
        envstore.update(
            path,
            lambda kept: before.values if kept == after.values else kept,
            machine,
        )
        screen.note("what is kept is as before; --no-apply keeps a change without trying it")
        raise


def _not_kept(wanted: str, site: str, kept: Mapping[str, str]) -> HostelError:
    from hostel.site_values import shown

    near = difflib.get_close_matches(wanted, kept, 1)
    hint = f"Did you mean {shown(near[0])}? " if near else ""
    return HostelError(
        f"removing {shown(wanted)}",
        f"it is not among the variables kept for {site}; nothing was changed",
        f"{hint}`hostel env list` says where each comes from: [env] and .env are changed by hand.",
    )


# -- looking -----------------------------------------------------------------------------------


def _entries(root: Path | None, kept: Mapping[str, str]) -> list[Entry]:
    """All sources, laid over one another; those of the project only where it is known."""
    from hostel import envstore, sitefile
    from hostel.machine import Machine
    from hostel.surroundings import dotenv_of
    from hostel.target import resolve

    if root is None or not root.is_dir():
        screen.note("the project's folder is not known here, so [env] and .env are not looked at")
        return envstore.layered({}, {}, kept)
    machine, target = Machine(), resolve(str(root))
    site_env: Mapping[str, str] = {}
    if target.site_file is not None:
        with machine.eyes_of_owner(root):
            text = sitefile.read(target.site_file)
        given = {"name": "site", "app": "app:app"}
        origin = target.site_file.name
        site_env = sitefile.parse(text, origin=origin, table=target.table, given=given).env
    return envstore.layered(site_env, dotenv_of(root, machine), kept)


def _root(name: str, site: str | None, live: Live | None) -> Path | None:
    """The project's folder: the one that is live, as long as it is there; else where we are."""
    if live is not None and live.root.is_dir():
        return live.root
    return which.project_here(name, site)


def _store(name: str) -> Path:
    return which.PLACES.site(name).store
