"""Load from wrk, in rounds that give every server the same chances."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.processes import Failed, run

THREADS = 2
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Effort:
    """How long and how often to measure."""

    rounds: int
    seconds: int


@dataclass(frozen=True)
class Sample:
    """One run of wrk: requests/s, the 99th percentile in ms, and requests without an answer."""

    rate: float
    slow: float
    lost: int


Samples = dict[str, list[Sample]]
Run = Callable[[Sequence[object], float], str]


def load(url: str, connections: int, seconds: int, host: str = "") -> Sample:
    """What a server answers under load, asked for `host` if that is not in the URL.

    Raises Failed for a refused connection or a bad status.
    """
    flags = [f"-t{THREADS}", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "5s"]
    flags += ["-H", f"Host: {host}"] if host else []
    text = run(["wrk", *flags, url], seconds + 30)
    rate = re.search(r"Requests/sec: +([\d.]+)", text)
    slow = re.search(r"99% +([\d.]+)([a-z]+)", text)
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused, *lost = map(int, errors.groups()) if errors else (0,)
    if rate is None or slow is None or refused or "Non-2xx" in text:
        raise Failed(f"{url} did not answer every request well:\n{text}")
    return Sample(float(rate[1]), float(slow[1]) * MILLISECONDS[slow[2]], sum(lost))


def in_turns(urls: Mapping[str, str], effort: Effort, connections: int = 32) -> Samples:
    """Every server in each round; the order moves on by one from round to round."""
    samples: Samples = {name: [] for name in urls}
    names = list(urls)
    for name in names:
        load(urls[name], connections, 1)  # warm
    for turn in range(effort.rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            samples[name].append(load(urls[name], connections, effort.seconds))
    return samples
