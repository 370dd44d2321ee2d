"""What files held when they were last read, so that unchanged ones need not be read again.

A cache: it may be lost at any time and is believed only where a change cannot have been missed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from hashlib import sha256
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine

RACY_NS = 2_000_000_000
"""A file younger than this when it was read may change again without a new time stamp: file
systems are that coarse. It is read again next time."""

HEAD = 16

Known = tuple[list[int], str, str]


class FileIndex:
    """Digests and first bytes of files, by their path in the project."""

    def __init__(self, path: Path, machine: Machine) -> None:
        self.path = path
        self.machine = machine
        self.old = self._read()
        self.new: dict[str, Known] = {}

    def digest(self, name: str, path: Path, info: os.stat_result) -> tuple[str, bytes]:
        """The file's digest and its first bytes; read only when it may be another by now."""
        marks = [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
        known = self.old.get(name)
        if known is None or known[0] != marks:
            began = time.time_ns()
            known = (marks, *_read(path))
            if max(info.st_mtime_ns, info.st_ctime_ns) > began - RACY_NS:
                return known[1], bytes.fromhex(known[2])
        self.new[name] = known
        return known[1], bytes.fromhex(known[2])

    def save(self) -> None:
        """Write the index down if it has changed and there is a place for it."""
        if self.new != self.old and self.path.parent.is_dir():
            text = json.dumps({"version": 1, "files": self.new})
            # On a full disk there is none: what has to be written will say so.
            with contextlib.suppress(HostelError):
                self.machine.write(self.path, text.encode(), 0o600)

    def _read(self) -> dict[str, Known]:
        try:
            said = json.loads(self.machine.read(self.path) or b"{}")
            return {
                str(name): ([int(mark) for mark in marks], str(digest), str(head))
                for name, (marks, digest, head) in said.get("files", {}).items()
            }
        except (ValueError, TypeError, AttributeError):
            return {}


def _read(path: Path) -> tuple[str, str]:
    hashed, head = sha256(), b""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            head = head or block[:HEAD]
            hashed.update(block)
    return hashed.hexdigest(), head.hex()
