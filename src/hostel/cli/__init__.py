"""The command line: one module a verb, loaded only when it is called. Only here is printed."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from types import FrameType

import click

from hostel import errors

VERBS = {
    "up": "Host an app from this machine: HTTPS, environment, database.",
    "down": "Stop what `up --detach` left running; data stay.",
    "plan": "Show what apply would do on this server, change by change.",
    "apply": "Bring the site in this folder into service on this server.",
    "rollback": "Bring an earlier generation of a site back into service.",
    "run": "Run a command as a site's user, in its release and environment.",
    "remove": "Take a site off this server.",
    "status": "Say what runs, where it answers and how it fares.",
    "logs": "Show requests with what each of them wrote, as they were or as they come.",
    "init": "Write a site file for the project in this folder, with what can be guessed.",
    "env": "The variables of a site on a server: set, unset, list, import, diff.",
    "cert": "The local certificate authority: trust, show, path.",
}

EPILOG = """\b
Examples:
  hostel up                     host the app in this folder
  hostel up examples/guestbook  host the app in that folder
  hostel up mysite.wsgi:application --https 9443
  hostel up --detach && hostel status && hostel down
  hostel cert trust             no more browser warnings
"""


class Verbs(click.Group):
    """Imports a verb's module only to run it, so that --help and completion stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = getattr(importlib.import_module(f"hostel.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            ctx.fail(f'No such command "{args[0]}".{hint}')
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"hostel {version('hostel')}")
        ctx.exit()


@click.group(
    cls=Verbs,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def hostel() -> None:
    """Hosts Python WSGI apps on Apache httpd and mod_wsgi, from one file."""


def _speak_utf_8() -> None:
    """Begin again in Python's UTF-8 mode where the caller's locale is another.

    Names of files and values of variables are bytes that the app takes for UTF-8; in another
    encoding they would be changed on their way, or could not be passed on at all.
    """
    if sys.getfilesystemencoding() != "utf-8":
        # -P: the folder one stands in is a project, whose modules are not Hostel's.
        again = [sys.executable, "-P", "-X", "utf8", "-m", "hostel", *sys.argv[1:]]
        os.execv(sys.executable, again)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the command line and exit with the code `docs/reference.md` lists."""
    _speak_utf_8()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    color = False if os.environ.get("NO_COLOR") else None
    try:
        code = hostel.main(prog_name="hostel", standalone_mode=False, color=color)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except errors.HostelError as error:
        from hostel.cli import screen

        screen.error(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as end:
        # click makes an Abort of every KeyboardInterrupt.
        said = str(end.__cause__ or end) or "nothing is left half-done"
        click.echo(f"Interrupted; {said}.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("HOSTEL_DEBUG"):
            raise
        click.echo(
            f"error: {type(error).__name__}: {error}\n"
            "This is a bug in Hostel. HOSTEL_DEBUG=1 shows where it happened.",
            err=True,
        )
        sys.exit(1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
