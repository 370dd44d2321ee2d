"""What a run has begun, on disk before it is done, so that a killed run can be undone.

One line of JSON for each step, fsynced. Secrets are not written: a secret file's name holds a
digest of its content (see `resources.file`), so undoing one means removing it, or settling its
mode and owner.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hostel.machine import explained, sync_folder
from hostel.plan import Change, Key, State, kind_of
from hostel.reserve import Reserve


class Journal:
    """The journal of one state folder; there is one only while a run is under way.

    `reserve` is kept as long as all may have to be undone.
    """

    def __init__(
        self, path: Path, kinds: Mapping[str, type[State]], reserve: Reserve | None = None
    ) -> None:
        self.path = path
        self.kinds = kinds
        self.reserve = reserve or Reserve(())

    def begun(self, change: Change) -> None:
        """Record a change before it is made.

        What was observed does not say that it is secret, what is wanted does. A removal comes
        after all is verified and is never undone, so it needs no content.
        """
        is_first = not self.path.exists()
        self._append({"begun": _entry(change)})
        if is_first and change.after is not None:
            self.reserve.take()

    def verified(self, removals: Iterable[Change] = ()) -> None:
        """All changes hold and were verified: what is left is clean-up, never undo."""
        self._append({"verified": [_entry(change) for change in removals]})
        self.make_room()

    def make_room(self) -> None:
        """What comes now must be written even though the disk may be full."""
        self.reserve.free()

    def end(self) -> None:
        """The run is over, done or undone."""
        self.make_room()
        with explained(f"removing {self.path}"), contextlib.suppress(FileNotFoundError):
            self.path.unlink()
            sync_folder(self.path.parent)

    def pending(self) -> list[Change]:
        """The changes that a killed run had begun, in their order; empty if none was killed."""
        entries = self._entries()
        if any("verified" in entry for entry in entries):
            return []
        return [self._decoded(entry["begun"]) for entry in entries if "begun" in entry]

    def clearing(self) -> list[Change]:
        """The removals that were left to a killed run when all was verified."""
        said = (entry["verified"] for entry in self._entries() if "verified" in entry)
        return [self._decoded(entry) for entry in next(said, [])]

    def _entries(self) -> list[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            with contextlib.suppress(ValueError):  # the last line may be half-written
                entries.append(json.loads(line))
        return entries

    def _decoded(self, entry: dict[str, Any]) -> Change:
        which = Key(entry["key"])
        kind = self.kinds[kind_of(which)]
        return Change(which, decode(kind, entry["before"]), decode(kind, entry["after"]))

    def _append(self, entry: dict[str, object]) -> None:
        with explained(f"writing {self.path}"):
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                before = os.fstat(handle).st_size
                try:
                    _write_all(handle, json.dumps(entry).encode() + b"\n")
                    os.fsync(handle)
                except OSError:
                    # What could not be said whole was not said.
                    with contextlib.suppress(OSError):
                        os.ftruncate(handle, before)
                        os.fsync(handle)
                    raise
            finally:
                os.close(handle)
            if not before:
                sync_folder(self.path.parent)


def _entry(change: Change) -> dict[str, object]:
    """A change with what its undo needs; a removal, which is never undone, needs no content."""
    known = change.after is not None and not getattr(change.after, "secret", False)
    return {
        "key": change.key,
        "before": encode(change.before, content=known),
        "after": encode(change.after, content=False),
    }


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def encode(state: State | None, *, content: bool = True) -> dict[str, object] | None:
    """A state as JSON can hold it; bytes as base64, and not at all for a secret."""
    if state is None:
        return None
    said: dict[str, object] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, bytes):
            hidden = getattr(state, "secret", False) or not content
            value = "" if hidden else base64.b64encode(value).decode()
        said[field.name] = value
    return said


def decode(kind: type[State], said: dict[str, Any] | None) -> State | None:
    if said is None:
        return None
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = said.get(field.name)
        if field.type == "bytes":
            value = base64.b64decode(value or "")
        elif isinstance(value, list):
            value = tuple(value)
        values[field.name] = value
    return kind(**values)
