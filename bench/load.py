"""Load from wrk, in rounds that give every server the same chances."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.processes import Failed, run

THREADS, CONNECTIONS = 2, 32


@dataclass(frozen=True)
class Effort:
    """How long and how often to measure."""

    rounds: int
    seconds: int


def requests_per_second(url: str, seconds: int) -> float:
    """What a server answers under load. Raises Failed if any answer was not a good one."""
    command = ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds}s", url]
    text = run(command, seconds + 30)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    lost = re.search(r"Socket errors: (.+)", text)
    rate = re.search(r"Requests/sec: +([\d.]+)", text)
    if bad or rate is None or (lost and re.search(r"(connect|write|timeout) [1-9]", lost[1])):
        raise Failed(f"{url} did not answer every request well:\n{text}")
    return float(rate[1])


def in_turns(urls: Mapping[str, str], effort: Effort) -> dict[str, list[float]]:
    """Requests/s of each server in each round; the order moves on by one from round to round."""
    rates: dict[str, list[float]] = {name: [] for name in urls}
    names = list(urls)
    for name in names:
        requests_per_second(urls[name], 1)  # warm
    for turn in range(effort.rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            rates[name].append(requests_per_second(urls[name], effort.seconds))
    return rates
