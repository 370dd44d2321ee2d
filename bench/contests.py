"""The contests. Each starts what it needs, measures in turns, and ends it all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from urllib.parse import urlencode
from urllib.request import urlopen

from bench import rivals
from bench.load import Effort, Samples, in_turns
from bench.ours import GUESTBOOK, HELLO, HOSTEL, OurSite
from bench.processes import ANY_CERTIFICATE, Failed, memory, run
from bench.report import Duel, Figure, Result
from bench.rivals import Place

ENTRIES = 50
CROWD = 100
MEGABYTE = 1_000_000


def hello(place: Place, effort: Effort) -> list[Result]:
    """The servers alone: an app that does nothing."""
    ours = OurSite.copied(HELLO, place.work, "hello", tls=False)
    script = ours.folder / "app.py"
    with ExitStack() as stack:
        enter = stack.enter_context
        urls = {
            "Hostel": enter(ours.serving()),
            "nginx + gunicorn 2x4": enter(
                rivals.nginx_gunicorn(place, "hello", "app:application", ours.folder)
            ),
            "mod_wsgi-express": enter(
                rivals.mod_wsgi_express(place, "express", script, "--access-log")
            ),
            "nginx + uWSGI 2x4": enter(rivals.nginx_uwsgi(place, "hello", script)),
        }
        samples = in_turns(urls, effort)
        crowd = in_turns(urls, effort, CROWD)
    targets = {"nginx + gunicorn 2x4": 1.6, "mod_wsgi-express": 2.2, "nginx + uWSGI 2x4": 0.9}
    nothing = dict.fromkeys(targets)
    return [
        *_duels("hello world", samples, targets),
        *_duels(f"hello world, {CROWD} connections", crowd, nothing),
    ]


def guestbook(place: Place, effort: Effort) -> list[Result]:
    """A page from a database: the same code, the same PostgreSQL."""
    ours = OurSite.copied(GUESTBOOK, place.work, "guestbook", tls=False)
    with ExitStack() as stack:
        url = stack.enter_context(ours.serving())
        for number in range(ENTRIES):
            form = {"name": f"Guest {number}", "message": f"Greetings, for the {number}th time."}
            with urlopen(url, urlencode(form).encode(), timeout=10):
                pass
        rival = rivals.nginx_gunicorn(
            place, "guestbook", "guestbook:app", ours.folder, ours.environment
        )
        urls = {"Hostel": url, "nginx + gunicorn 2x4": stack.enter_context(rival)}
        samples = in_turns(urls, effort)
    return _duels("guestbook, list page", samples, {"nginx + gunicorn 2x4": 1.1})


def static(place: Place, effort: Effort) -> list[Result]:
    """A file of 1 MB."""
    more = '\n[static]\n"/static" = "static"\n'
    ours = OurSite.copied(HELLO, place.work, "static", tls=False, more=more)
    folder = ours.folder / "static"
    folder.mkdir()
    (folder / "big.bin").write_bytes(os.urandom(MEGABYTE))
    location = f"location / {{ root {folder}; }}"
    with ExitStack() as stack:
        urls = {
            "Hostel": stack.enter_context(ours.serving()) + "static/big.bin",
            "nginx": stack.enter_context(rivals.nginx(place, "static", location)) + "big.bin",
        }
        samples = in_turns(urls, effort)
    return _duels("1 MB static file", samples, {"nginx": 0.9})


def start(place: Place, effort: Effort) -> list[Result]:
    """`hostel up --detach` of a site that has been up before, and `hostel --help`."""
    sites = {
        "a site without a database": OurSite.copied(HELLO, place.work, "start", tls=True),
        "a site with a database": OurSite.copied(GUESTBOOK, place.work, "start-db", tls=True),
    }
    flask = [place.venv / "bin" / "python", "-c", "import flask"]
    steps: dict[str, Callable[[], object]] = {name: one.up for name, one in sites.items()}
    steps["hostel --help"] = lambda: run([HOSTEL, "--help"])
    steps["import flask"] = lambda: run(flask)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(effort.rounds + 1):
        for name, step in steps.items():
            try:
                seconds = _seconds(step)
            except BaseException:
                _down(sites)
                raise
            if name in sites:
                sites[name].down()
            if turn:  # the first one builds
                taken[name].append(seconds)
    wanted = {"a site without a database": 1.0, "a site with a database": 2.5}
    until = "`hostel up --detach`, second time, to the first 200: "
    return [
        *(Figure(until + name, "s", taken[name], limit) for name, limit in wanted.items()),
        Figure("`hostel --help`", "s", taken["hostel --help"], 0.15),
        Figure('`python -c "import flask"`, a yardstick', "s", taken["import flask"]),
    ]


def size(place: Place, effort: Effort) -> list[Result]:
    """Memory with one process that runs the app, with nothing else of its kind running."""
    more = "\n[server]\nprocesses = 1\n"
    ours = OurSite.copied(HELLO, place.work, "memory", tls=True, more=more)
    sizes: dict[str, list[float]] = {"ours": [], "theirs": []}
    one = ("--workers=1", "--threads=4")
    for turn in range(effort.rounds):
        with ours.serving() as url:
            sizes["ours"].append(_after_requests(url, ours.pid))
        rival = rivals.gunicorn(place, f"one-{turn}", "app:application", ours.folder, one)
        with rival as (url, pid):
            sizes["theirs"].append(_after_requests(url, pid))
    return [
        Figure("memory (PSS), hello world, one process, HTTPS and HTTP/2", "MB", sizes["ours"], 18),
        Figure("memory (PSS), gunicorn with one worker, plain HTTP", "MB", sizes["theirs"]),
    ]


def _after_requests(url: str, pid: int) -> float:
    for _ in range(500):
        with urlopen(url, timeout=10, context=ANY_CERTIFICATE) as answer:
            answer.read()
    return memory(pid)


def _down(sites: Mapping[str, OurSite]) -> None:
    for site in sites.values():
        with suppress(Failed):  # it may have been down before
            site.down()


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _duels(contest: str, samples: Samples, targets: Mapping[str, float | None]) -> list[Result]:
    return [
        Duel(contest, rival, samples["Hostel"], samples[rival], target)
        for rival, target in targets.items()
    ]


CONTESTS: dict[str, Callable[[Place, Effort], list[Result]]] = {
    "hello": hello,
    "guestbook": guestbook,
    "static": static,
    "start": start,
    "memory": size,
}
