"""What people see: steps, errors, a summary. Progress goes to stderr, data to stdout."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from pathlib import Path

import click

from hostel.errors import HostelError

INDENT = "    "


def error(problem: HostelError) -> None:
    """An error in three parts: what was being done and happened, its detail, what to do."""
    mark = click.style("error", fg="red", bold=True)
    color = False if os.environ.get("NO_COLOR") else None  # here click may know no more of it
    lines = [f"{mark}: {problem.doing}: {click.style(problem.happened, bold=True)}"]
    lines += [INDENT + line for line in problem.detail.splitlines()]
    if problem.remedy:
        lines.append(click.style("→ ", fg="cyan") + problem.remedy)
    click.echo("\n".join(lines), err=True, color=color)


def note(text: str) -> None:
    """Something worth knowing that is no error."""
    click.echo(click.style("note", fg="yellow") + f": {text}", err=True)


def command(*words: str) -> str:
    """A command of ours as it can be typed here: by its path where the shell would not find it."""
    program = sys.argv[0]
    found = shutil.which("hostel")
    if found and os.path.realpath(found) == os.path.realpath(program):
        program = "hostel"
    return shlex.join([program, *(word for word in words if word)])


def short(text: str) -> str:
    """The text with paths below the working directory as they are seen from there."""
    return text.replace(f"{Path.cwd()}/", "")


def colored() -> bool:
    """Whether stdout takes colours: a terminal, and nobody said NO_COLOR."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class Steps:
    """The steps of a long run, each with the seconds the one before it took."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        seconds = click.style(f"{time.monotonic() - self.began:5.1f} s", dim=True)
        click.echo(f"{seconds}  {text}", err=True)
