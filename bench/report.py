"""What was measured, as Markdown: medians, and ratios with the least and the greatest."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.load import Sample
from bench.processes import Failed, run

BEGIN, END = "<!-- measured: script/bench --write -->", "<!-- end -->"


@dataclass(frozen=True)
class Duel:
    """Hostel and another server under load, by round; `target` is the wanted ratio."""

    contest: str
    rival: str
    ours: Sequence[Sample]
    theirs: Sequence[Sample]
    target: float | None = None


@dataclass(frozen=True)
class Figure:
    """A time or a size, by run; `limit` is the most that is wanted, None for a yardstick."""

    what: str
    unit: str
    values: Sequence[float]
    limit: float | None = None


Result = Duel | Figure


def tables(results: Sequence[Result]) -> str:
    duels = [one for one in results if isinstance(one, Duel)]
    figures = [one for one in results if isinstance(one, Figure)]
    lines: list[str] = []
    if duels:
        lines += ["| | beside | requests/s | ratio (min-max) | target | | p99, ms | lost |"]
        lines += ["|---|---|--:|--:|--:|---|--:|--:|", *map(_duel, duels), ""]
    if figures:
        lines += ["| | median (min-max) | target | |"]
        lines += ["|---|--:|--:|---|", *map(_figure, figures), ""]
    return "\n".join(lines)


def _duel(duel: Duel) -> str:
    both = (duel.ours, duel.theirs)
    ratios = [one.rate / other.rate for one, other in zip(*both, strict=True)]
    wanted, met = "", ""
    if duel.target is not None:
        wanted, met = f"{duel.target:.1f}", _verdict(median(ratios) >= duel.target)
    span = f"**{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f})"
    rates = " : ".join(f"{median(one.rate for one in side):,.0f}" for side in both)
    slow = " : ".join(f"{median(one.slow for one in side):.0f}" for side in both)
    lost = " : ".join(f"{sum(one.lost for one in side):,}" for side in both)
    return (
        f"| {duel.contest} | {duel.rival} | {rates} | {span} | {wanted} | {met} | {slow} | {lost} |"
    )


def _figure(figure: Figure) -> str:
    places = 1 if figure.unit == "MB" else 2
    low, middle, high = (
        f"{value:.{places}f}"
        for value in (min(figure.values), median(figure.values), max(figure.values))
    )
    wanted, met = "", ""
    if figure.limit is not None:
        wanted = f"< {figure.limit:g} {figure.unit}"
        met = _verdict(median(figure.values) < figure.limit)
    return f"| {figure.what} | **{middle} {figure.unit}** ({low}-{high}) | {wanted} | {met} |"


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def machine(venv: Path) -> str:
    """One line on what it was measured on."""
    names = platform.freedesktop_os_release()
    packages = run([venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "list"])
    versions = [
        f"{os.cpu_count()} cores shared with the client",
        names.get("PRETTY_NAME", platform.system()),
        f"Python {_first(run(['/usr/bin/python3', '--version']))}",
        f"httpd {_first(run(['/usr/sbin/apache2', '-v']))}",
        *(f"{name} {_version(packages, name)}" for name in ("mod_wsgi", "gunicorn")),
        f"nginx {_first(_nginx())}",
        f"uWSGI {_first(run(['/usr/bin/uwsgi-core', '--version']))}",
    ]
    return ", ".join(versions) + "."


def _nginx() -> str:
    return run(["/bin/sh", "-c", "/usr/sbin/nginx -v 2>&1"])


def _first(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else "?"


def _version(packages: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)} +(\S+)", packages, re.MULTILINE)
    return found[1] if found else "?"


def write(path: Path, text: str, mark: str = BEGIN) -> None:
    """Put `text` between the marks of the page. Raises Failed when they are not there."""
    page = path.read_text()
    head, begin, rest = page.partition(mark)
    _old, end, tail = rest.partition(END)
    if not begin or not end:
        raise Failed(f"{path} has lost its marks {mark} and {END}")
    path.write_text(f"{head}{mark}\n\n{text.strip()}\n\n{END}{tail}")
