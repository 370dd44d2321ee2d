"""Whether a new instance goes on running, before anybody is led to it. Looks only.

An app can be imported and answer well, and end its process a moment later. httpd makes another
in its place, again and again, so no unit ever fails: only its processes tell.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

STEADY_SECONDS = 2.0
"""For how long the processes of a new instance are watched."""

STEP = 0.1


@dataclass(frozen=True)
class Processes:
    """The processes of one unit; `main` asks systemd for the first of them, which is httpd."""

    main: Callable[[], int | None]

    def ended(self, seconds: float = STEADY_SECONDS) -> str:
        """Watch for so long; returns what ended meanwhile, in words, or ""."""
        first, began = self.main(), time.monotonic()
        if first is None:
            return "its httpd has ended"
        known: dict[int, float] = {}
        while True:
            now = children(first)
            gone = [pid for pid, born in known.items() if now.get(pid) != born]
            if self.main() != first:
                return "its httpd has ended"
            if gone:
                age = time.time() - min(known[pid] for pid in gone)
                return f"a process of it ended {age:.1f} s after it had begun"
            known |= now
            if time.monotonic() - began > seconds:
                return ""
            time.sleep(STEP)

    def are_not(self, pid: str) -> bool:
        """Whether the number is that of a living process of something else.

        All instances of a site write into one log: what another one wrote explains nothing here.
        """
        import psutil

        first = self.main()
        with contextlib.suppress(psutil.Error, ValueError):
            process = psutil.Process(int(pid))
            return first not in (process.pid, *(one.pid for one in process.parents()))
        return False


def children(pid: int) -> dict[int, float]:
    """The children of a process and when each began; without those that are dead already."""
    import psutil

    found = {}
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE:
                    found[child.pid] = child.create_time()
    return found
