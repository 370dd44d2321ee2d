"""`hostel logs`: what was asked, and what each request wrote; of before, and as it happens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from hostel.cli import screen
from hostel.errors import HostelError, UsageError

if TYPE_CHECKING:
    from hostel.log_files import LogPlaces
    from hostel.log_history import History
    from hostel.log_join import Entry, Requests

EPILOG = """\b
Examples:
  hostel logs                          the last requests of the site in this folder
  hostel logs guestbook -f             what happens from now on
  hostel logs --since 10m --errors     what went wrong in the last ten minutes
  hostel logs --since "2026-11-24 10:00" --json | jq .status
  hostel logs --request a6s2mg5EcIw    one request and all that it wrote
  hostel logs guestbook --worker mail  what that worker wrote
"""

DOING = "reading the logs"
SERVER_LOGS = Path("/var/log/hostel")
SERVER_SITES = Path("/srv/hostel")
LINES = 50
LINES_BEFORE_FOLLOWING = 10
HOLD = 2.0
"""Seconds for which lines of a running request wait for its end when one looks on."""

AT_ONCE = 500


@click.command(epilog=EPILOG)
@click.argument("site", default=".")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "--since", metavar="WHEN", help='Begin there: 10m, 2h, 3d, 10:00, "2026-11-24 10:00".'
)
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0),
    help=f"The last N requests and lines without one.  [default: {LINES}; all with --since]",
    metavar="N",
)
@click.option("--errors", is_flag=True, help="Only 5xx, tracebacks and errors.")
@click.option("--request", "wanted", metavar="ID", help="Only this request.")
@click.option("--worker", metavar="NAME", help="Instead, what this worker or job wrote.")
@click.option("--json", "as_json", is_flag=True, help='JSON lines, each with "version": 1.')
@click.option("--dir", "state", type=click.Path(path_type=Path), help="Folder of the site's state.")
def logs(
    site: str,
    follow: bool,
    since: str | None,
    lines: int | None,
    errors: bool,
    wanted: str | None,
    worker: str | None,
    as_json: bool,
    state: Path | None,
) -> None:
    """Show the requests of SITE, each with what it wrote, and lines that belong to none.

    SITE is the name of a site on this server, or a folder, as `hostel up` takes it; without one,
    the folder you are in.
    """
    from hostel.log_history import History

    began = _since(since)
    if worker is not None:
        if errors or wanted or as_json or state:
            raise click.UsageError("--worker goes with --follow, --since and --lines alone.")
        _of_worker(site, worker, follow, lines, began)
    keep = _filter(errors, wanted)
    try:
        found = places(site, state)
        show = _Shown(as_json, found)
        with History(found) as history:
            if not (history.files or follow):
                raise HostelError(
                    DOING,
                    f"there are none yet in {found.folder}",
                    "They begin when the site is up; `hostel logs -f` waits for them.",
                )
            requests = _past(history, show, keep, began, lines, wanted, follow)
            if follow:
                _follow(found, history, requests, lambda entries: show(filter(keep, entries)))
    except PermissionError as error:
        raise HostelError(
            DOING,
            f"{error.filename} is closed to you",
            "Read them as root, or as a member of the group adm.",
        ) from None


def _of_worker(
    site: str, worker: str, follow: bool, lines: int | None, began: float | None
) -> NoReturn:
    from hostel.platforms.debian import ServerPlaces
    from hostel.server import journals

    if not (SERVER_LOGS / site).is_dir():
        raise UsageError(
            "looking for a worker's lines",
            f"{site} is the name of no site on this server",
            "Workers run on a server alone; name the site: hostel logs SITE --worker NAME",
        )
    if lines is None and began is None:
        lines = LINES_BEFORE_FOLLOWING if follow else LINES
    found = ServerPlaces().site(site)
    journals.show(found, worker, follow=follow, lines=lines, since=began)


def places(site: str, state: Path | None = None) -> LogPlaces:
    """Where the logs of a site lie: on the server by its name, else in the state of its folder.

    Raises UsageError for what is neither.
    """
    from hostel.log_files import LogPlaces

    # Whether it is there, its permissions must not hide.
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", site) and state is None:
        folder = SERVER_LOGS / site
        if folder.is_dir():
            return LogPlaces(folder, True, SERVER_SITES / site / "releases")
    from hostel.platforms.private import machine_here
    from hostel.project import open_place

    layout = open_place(site, state, machine_here()).layout
    return LogPlaces(layout.log, False, layout.releases)


def _since(text: str | None) -> float | None:
    import time

    from hostel.log_since import since

    try:
        return None if text is None else since(text, time.time())
    except ValueError as error:
        raise UsageError("reading --since", str(error)) from None


def _filter(errors: bool, wanted: str | None) -> Callable[[Entry], bool]:
    from hostel.log_show import worth_showing

    def keep(entry: Entry) -> bool:
        if wanted is not None and entry.request != wanted:
            return False
        return worth_showing(entry) and (entry.failed or not errors)

    return keep


def _past(
    history: History,
    show: _Shown,
    keep: Callable[[Entry], bool],
    began: float | None,
    lines: int | None,
    wanted: str | None,
    follow: bool,
) -> Requests:
    """Show what there is; returns the requests whose end is still to come."""
    import math
    import time
    from collections import deque

    from hostel.log_history import HOLD as PATIENT
    from hostel.log_join import Requests

    now = time.time() if follow else None
    if began is None and wanted is None:
        count = (LINES_BEFORE_FOLLOWING if follow else LINES) if lines is None else lines
        found = history.last(count, keep, now=now)
        show(found.entries)
        if not found.searched_all:
            screen.note("older logs were not searched; --since goes back further")
        return found.requests
    requests = Requests(PATIENT)
    needle = (wanted or "").encode(errors="surrogateescape")
    beginning = -math.inf if began is None else began
    entries: Iterable[Entry] = filter(keep, history.entries(beginning, requests, needle, now=now))
    show(entries if lines is None else deque(entries, maxlen=lines))
    return requests


def _follow(
    found: LogPlaces,
    history: History,
    requests: Requests,
    show: Callable[[Iterable[Entry]], None],
) -> None:
    """Show what comes until Ctrl-C, and then what was still waiting for more."""
    import signal
    import threading
    from types import FrameType

    from hostel.tail import follow_requests

    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():  # again: whoever reads us does not take what is left
            raise KeyboardInterrupt
        # Not here: the event's lock may be held by what was interrupted.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    requests.hold = HOLD
    for entries in follow_requests(found, history.files, requests, stop):
        show(entries)


class _Shown:
    """Writes entries to stdout, many at once; for people, with the day where it changes."""

    def __init__(self, as_json: bool, found: LogPlaces) -> None:
        import time

        self.as_json = as_json
        self.releases = found.releases
        self.day = time.strftime("%Y-%m-%d")

    def __call__(self, entries: Iterable[Entry]) -> None:
        texts: list[str] = []
        for entry in entries:
            texts += self._texts(entry)
            if len(texts) >= AT_ONCE:
                click.echo("\n".join(texts))
                texts.clear()
        if texts:
            click.echo("\n".join(texts))

    def _texts(self, entry: Entry) -> Iterator[str]:
        from hostel.log_show import day_of, entry_json, entry_text, without_releases

        if self.as_json:
            yield from entry_json(entry, self.releases)
            return
        day = day_of(entry)
        if day and day != self.day:
            self.day = day
            yield click.style(f"-- {day} --", bold=True)
        yield without_releases(entry_text(entry, screen.colored()), self.releases)
