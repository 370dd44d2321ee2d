"""What people mean by --since: "10m", "2h", "10:00", "2026-11-24 10:00". Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_SPAN = re.compile(r"(\d{1,9})\s*(s|min|m|h|d|w)")
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?")


def since(text: str, now: float) -> float:
    """Seconds since the epoch; raises ValueError, with a sentence, for what is no past time.

    A time of day is the last one there was; without a zone it is this machine's.
    """
    text = text.strip()
    span = _SPAN.fullmatch(text)
    if span:
        return max(0.0, now - int(span[1]) * UNITS[span[2]])
    here = datetime.fromtimestamp(now)
    try:
        if _CLOCK.fullmatch(text):
            hour = text if text[1] != ":" else f"0{text}"
            meant = datetime.fromisoformat(f"{here:%Y-%m-%d} {hour}")
            meant -= timedelta(days=1) if meant > here else timedelta()
        else:
            meant = datetime.fromisoformat(text)
        found = meant.timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f'{text!r} is no time: write "10m", "2h", "3d", "10:00" or "2026-11-24 10:00"'
        ) from None
    if found > now:
        raise ValueError(f"{text!r} is still to come")
    return found
