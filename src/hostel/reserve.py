"""Space kept back while a run goes on, so that it can be undone on a disk that is full by then.

To undo means to write, too: the ledger, the router's files. Holds space only; what is undone and
when it is given back is said by the journal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hostel.machine import HALF_WRITTEN, explained

SIZE = 1 << 20
"""Bytes on each file system: more than all that an undo writes there at one time."""

NAME = f"{HALF_WRITTEN}reserve"


class Reserve:
    """Space on the file systems of these folders; ones that do not exist need none."""

    def __init__(self, folders: Sequence[Path], size: int = SIZE) -> None:
        self.folders = folders
        self.size = size

    def take(self) -> None:
        """Raises HostelError where there is not so much: then nothing should be begun."""
        devices: set[int] = set()
        for folder in self.folders:
            if not folder.is_dir() or folder.stat().st_dev in devices:
                continue
            devices.add(folder.stat().st_dev)
            self._take(folder / NAME)

    def _take(self, path: Path) -> None:
        with explained(f"keeping {self.size >> 10} KB free in {path.parent}"):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                if hasattr(os, "posix_fallocate"):  # macOS has none.
                    os.posix_fallocate(handle, 0, self.size)
            finally:
                os.close(handle)

    def free(self) -> None:
        """Give it back, if there is any; what cannot be removed is in nobody's way."""
        for folder in self.folders:
            try:
                (folder / NAME).unlink(missing_ok=True)
            except OSError:
                continue
