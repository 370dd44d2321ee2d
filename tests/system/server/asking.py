"""Somebody who asks a site all the time, while the tests do something to it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from ..machines import DebianMachine
from .sites import ask


class Asker:
    """Asks for `host`, one request after the other, as long as the block lasts."""

    def __init__(self, server: DebianMachine, host: str, path: str = "/") -> None:
        self.server, self.host, self.path = server, host, path
        self.answers: Counter[str] = Counter()
        """How often each answer came: its text if its status is 200, else the status, or why
        none came."""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                answer = ask(self.server, self.host, self.path)
                said = answer.text if answer.status == 200 else str(answer.status)
            except OSError as error:
                said = repr(error)
            self.answers[said] += 1

    def asked_again(self, seconds: float = 120) -> None:
        """Wait until further requests, begun after this call, were answered."""
        wanted, end = self.answers.total() + 3, time.monotonic() + seconds
        while self.answers.total() < wanted:
            assert time.monotonic() < end, "nothing is answered any more"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._thread.join()
