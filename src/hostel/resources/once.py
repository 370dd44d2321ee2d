"""Things done once for a given input: the check of the app, the release hook.

A migration that ran has run: undo only remembers again what was done before it. What was done is
remembered as the digest of its input, so that it is done again only when the input is another.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hostel.machine import Machine
from hostel.plan import Change, Key, State, name_of
from hostel.states import Done


class Once:
    """Actions by name, each remembered in a file of its own in `folder`."""

    def __init__(self, folder: Path, actions: dict[str, Callable[[], None]]) -> None:
        self.folder = folder
        self.actions = actions

    def observe(self, which: Key, machine: Machine) -> Done | None:
        text = machine.read(self.folder / name_of(which))
        return Done(digest=text.decode(errors="replace")) if text else None

    def enact(self, change: Change, machine: Machine) -> None:
        if isinstance(change.after, Done):
            self.actions[name_of(change.key)]()
        self.recall(change.key, change.after, machine)

    def recall(self, which: Key, former: State | None, machine: Machine) -> None:
        note = self.folder / name_of(which)
        if isinstance(former, Done):
            machine.write(note, former.digest.encode(), 0o644)
        else:
            machine.remove(note)
