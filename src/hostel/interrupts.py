"""Ctrl-C and its like: what they do to a run, and how a part of it is kept whole.

An undo that is broken off leaves more behind than none: it holds signals back until it is over.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals by which people and systems end a run."""


class Interrupted(KeyboardInterrupt):
    """A run was ended by a signal. Its text says what became of what it had begun."""


class Held:
    """Takes the signals while they are held back; `came` says whether there was one."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


@contextlib.contextmanager
def held_back() -> Iterator[Held]:
    """Let no such signal end this block; whoever wants to obey it afterwards finds it in `came`."""
    held = Held()
    if threading.current_thread() is not threading.main_thread():
        yield held  # Signals come to the main thread alone.
        return
    former = {number: signal.signal(number, held) for number in ENDING}
    try:
        yield held
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def are_held() -> bool:
    """Whether they are held back now: then they must not end our children either, which a
    terminal's Ctrl-C reaches, too."""
    return isinstance(signal.getsignal(signal.SIGINT), Held)
