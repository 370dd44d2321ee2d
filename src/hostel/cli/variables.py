"""Variables on the command line: how their values come in, and how they are shown.

A value comes in by a hidden prompt, stdin or a file, never by the command line, which everybody on
the machine can read and shells remember; it goes out masked unless somebody asks to see it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hostel.cli import screen
from hostel.errors import UsageError

if TYPE_CHECKING:
    from hostel.envstore import Entry
    from hostel.masking import EnvChange

SIGNS = {"set": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}


def refuse_values(names: Sequence[str], verb: str) -> None:
    """No value on a command line; the refusal shows nothing of what may be one."""
    odd = len(names) > 1 and not all(name.isidentifier() for name in names)
    if not odd and "=" not in names[0]:
        return
    word = names[0].partition("=")[0]
    right = sudo("env", verb, word if len(names) == 1 and word.isidentifier() else "NAME")
    if verb != "set":
        raise UsageError(
            f"reading the names to {verb}", "one of them is no name", f"Give names: {right}"
        )
    raise UsageError(
        "reading the names to set",
        "there is a value among them, and a command line is no place for one",
        f"Run: {right} and give the value when asked, or on stdin. Whatever stands on a command "
        "line everybody on this machine can read, and the shell's history keeps: if it is a "
        "secret, take another.",
    )


def given(names: Sequence[str]) -> dict[str, str]:
    """The values of the names: of one from stdin, of each from a prompt at a terminal."""
    from hostel import envstore

    if sys.stdin is not None and sys.stdin.isatty():
        return {name: envstore.checked(name, _asked(name)) for name in dict.fromkeys(names)}
    if len(names) > 1:
        raise UsageError(
            "reading values from stdin",
            f"there are {len(names)} names, and what comes is one value",
            "Set one at a time, or give NAME=value lines to: hostel env import -",
        )
    doing = f"reading the value of {names[0]}"
    value = text(read("-"), doing).removesuffix("\n")
    return {names[0]: envstore.checked(names[0], value)}


def _asked(name: str) -> str:
    from hostel.masking import plain

    try:
        said: str = click.prompt(
            f"{plain(name)} (not shown)",
            hide_input=True,
            confirmation_prompt="Once more",
            err=True,
        )
    except UnicodeDecodeError:
        raise UsageError(
            f"reading the value of {plain(name)}", "it is not UTF-8", "Use a UTF-8 terminal."
        ) from None
    return said


def read(file: str) -> bytes:
    """The bytes of a file, or of stdin for "-"."""
    from hostel.envstore import LONGEST

    most = 16 * LONGEST
    try:
        if file == "-":
            data = sys.stdin.buffer.read(most + 1) if sys.stdin is not None else b""
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(most + 1)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "that is no path"
        raise UsageError(
            f"reading {file}", said or str(error), "Name a file that can be read, or - for stdin."
        ) from error
    if len(data) > most:
        raise UsageError(f"reading {file}", "it is longer than 2 MB, so no set of variables")
    return data


def text(data: bytes, doing: str) -> str:
    """The bytes as text. Raises UsageError that shows nothing of them."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        happened = f"it is not UTF-8 (byte {error.start + 1})"
    raise UsageError(doing, happened, "Give UTF-8; other bytes can be kept as base64.")


# -- showing -----------------------------------------------------------------------------------


def change_line(change: EnvChange, origin: str = "") -> str:
    """A change on one line: what happens to which variable, its value as far as it may be shown."""
    from hostel.masking import plain

    sign, color = SIGNS[change.verb]
    value = f"  {change.after_masked}" if change.after_masked is not None else ""
    source = click.style(f"  ({origin})", dim=True) if origin else ""
    return f"{click.style(sign, fg=color)} {plain(change.name)}{value}{source}"


def table(entries: Sequence[Entry], show: bool) -> None:
    """The variables, one a line: name, origin, value as far as it may be shown."""
    from hostel.masking import masked, plain

    widest = max((len(plain(entry.name)) for entry in entries), default=0)
    for entry in entries:
        secret = entry.origin == "store"
        value = plain(entry.value) if show else masked(entry.name, entry.value, secret)
        over = click.style(f"  (over {', '.join(entry.over)})", dim=True) if entry.over else ""
        name = click.style(plain(entry.name).ljust(min(widest, 40)), bold=True)
        click.echo(f"{name}  {entry.origin:<5}  {value}{over}")


def described(entry: Entry, show: bool) -> dict[str, object]:
    """A variable as `list --json` has it; a hidden value is null."""
    from hostel.masking import looks_secret

    secret = entry.origin == "store" or looks_secret(entry.name, entry.value)
    return {
        "name": entry.name,
        "origin": entry.origin,
        "over": list(entry.over),
        "secret": secret,
        "value": entry.value if show or not secret else None,
    }


def changed(change: EnvChange, origin: str | None) -> dict[str, object]:
    """A change as `diff --json` has it."""
    return {
        "name": change.name,
        "verb": change.verb,
        "origin": origin,
        "before": change.before_masked,
        "after": change.after_masked,
    }


def sudo(*words: str) -> str:
    """A command of ours as it can be typed to run as root."""
    return f"sudo {screen.command(*words)}"
