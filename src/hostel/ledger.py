"""What Hostel made on this machine: nothing else is ever changed or removed.

One file for each site and one for the machine. It holds keys and digests only, never a content.
A key is written before its thing is made, so that what a killed run left half-made is known as
Hostel's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hostel.drift import state_digest
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Key, State

_UNSETTLED = ""
"""In place of a digest: the thing was begun, and how it came out is not known."""


class Ledger:
    """The ledger in one file, read once. Each change of it is on disk when its method returns."""

    def __init__(self, path: Path, machine: Machine) -> None:
        self.path = path
        self.machine = machine
        self._made = self._read()

    @property
    def digests(self) -> Mapping[Key, str]:
        """Everything made, with the digest of its state as it was last enacted; "" if unknown."""
        return dict(self._made)

    def owns(self, which: Key) -> bool:
        return which in self._made

    def drifted(self, which: Key, observed: State | None) -> bool:
        """Whether it is Hostel's and not as Hostel left it: someone changed it by hand."""
        digest = self._made.get(which, _UNSETTLED)
        if digest == _UNSETTLED:
            return False
        return observed is None or state_digest(observed) != digest

    def begin(self, *keys: Key) -> None:
        """Before making these things: whatever comes of it is Hostel's."""
        self._update({which: _UNSETTLED for which in keys if which not in self._made})

    def made(self, which: Key, state: State, *others: tuple[Key, State]) -> None:
        """They were made, or changed, and are like this now."""
        self.settle({key: state_digest(how) for key, how in ((which, state), *others)})

    def settle(self, digests: Mapping[Key, str]) -> None:
        """As `made`, for those who kept the digests."""
        self._update(digests)

    def forget(self, *keys: Key) -> None:
        """They are gone, or somebody else's from now on."""
        left = {which: digest for which, digest in self._made.items() if which not in keys}
        self._write(left)

    def _update(self, entries: Mapping[Key, str]) -> None:
        self._write({**self._made, **entries})

    def _write(self, made: dict[Key, str]) -> None:
        if made == self._made:
            return
        data = json.dumps({"version": 1, "made": made}, indent=0, sort_keys=True)
        # Known first: a signal in between must not leave us knowing less than the file says.
        former, self._made = self._made, made
        try:
            if not self.path.parent.is_dir():
                self.machine.make_folder(self.path.parent, 0o755)
            self.machine.write(self.path, data.encode() + b"\n", 0o600, self.machine.me)
        except HostelError:
            self._made = former
            raise

    def _read(self) -> dict[Key, str]:
        data = self.machine.read(self.path)
        if data is None:
            return {}
        try:
            made = json.loads(data)["made"]
            return {Key(which): str(digest) for which, digest in made.items()}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise HostelError(
                f"reading {self.path}",
                "it is no ledger: it is damaged, or was changed by hand",
                "Put it back from a backup. Without it Hostel does not know what it made here, "
                "and would leave all of it alone.",
            ) from error
