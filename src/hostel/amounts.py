"""Amounts in a site file: sizes such as "100MB", durations such as "90s", shares of cores. Pure.

Each function takes what was written and returns it as a plain number, or raises ValueError with a
sentence for the person who wrote it.
"""

from __future__ import annotations

import re

from hostel.site_values import shown

SIZES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

MAX_BODY = 10**12
LEAST_MEMORY = 16 * 10**6
"""Below it no Python with an app in it starts."""

MOST_MEMORY = 10**14
HOUR = 3600
WEEK = 7 * 86400

_SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]{0,3})")
_DURATION = re.compile(r"([0-9]{1,9})\s*([A-Za-z]{0,3})")


def size(value: object) -> object:
    """Bytes of a request body, of "100MB" (10^6), "1GiB" (2^30) or a plain number."""
    number = _bytes(value)
    if not 1 <= number <= MAX_BODY:
        raise ValueError("must be from 1 byte to 1000 GB; there is always a limit")
    return number


def memory(value: object) -> object:
    """Bytes of memory, written as a size is."""
    number = _bytes(value)
    if not LEAST_MEMORY <= number <= MOST_MEMORY:
        raise ValueError("must be from 16 MB, with which Python barely starts, to 100000 GB")
    return number


def _bytes(value: object) -> int:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        unit = SIZES.get(match[2].upper()) if match else None
        if match is None or unit is None:
            raise ValueError(f'{shown(value)} is no size; write one like "100MB", or bytes')
        return int(match[1]) * unit
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError('must be a size like "100MB", or a whole number of bytes')
    return value


def duration(value: object) -> object:
    """Seconds of "90s", "5m", "1h", "1d", or a plain number of them; at most a week."""
    number = _seconds(value)
    if not 1 <= number <= WEEK:
        raise ValueError("must be from 1 second to 7 days")
    return number


def patience(value: object) -> object:
    """A duration for which something else waits; at most an hour."""
    number = _seconds(value)
    if not 1 <= number <= HOUR:
        raise ValueError("must be from 1 second to 1 hour")
    return number


def _seconds(value: object) -> int:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        unit = SECONDS.get(match[2].lower()) if match and match[2] else None
        if match is None or unit is None:
            raise ValueError(f'{shown(value)} is no duration; write one like "90s", "5m" or "1h"')
        return int(match[1]) * unit
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError('must be a duration like "5m", or a whole number of seconds')
    return value
