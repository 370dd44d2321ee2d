"""Files: their content, mode and owner.

A secret file is never overwritten in place: its name holds a digest of its content, so undo
never has to remember a secret.
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

from hostel.account import owner_of
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, Key, name_of
from hostel.states import FileState, surrounding


class Files:
    """Files that are all `inside` these folders; folders between are made when missing."""

    def __init__(self, *inside: Path) -> None:
        self.inside = inside

    def observe(self, which: Key, machine: Machine) -> FileState | None:
        path = Path(name_of(which))
        content = machine.read(path)
        if content is None:
            return None
        info = path.stat()
        # Which group an ordinary user's files get is the folder's or the system's choice.
        owner = owner_of(info.st_uid, info.st_gid if machine.is_root else machine.me.gid)
        return FileState(
            digest=sha256(content).hexdigest(),
            mode=stat.S_IMODE(info.st_mode),
            owner=owner,
            content=content,
            needs=surrounding(path, owner),
        )

    def enact(self, change: Change, machine: Machine) -> None:
        path = Path(name_of(change.key))
        plain = Path(os.path.normpath(path))
        if not any(plain.is_relative_to(folder) for folder in self.inside):
            places = " or ".join(map(str, self.inside))
            raise HostelError(f"changing {path}", f"it is not inside {places}")
        if change.after is None:
            machine.remove(path)
            return
        state = change.after
        assert isinstance(state, FileState)
        owner = machine.owner(state.owner, f"writing {path}")
        if not path.parent.is_dir():
            machine.make_folder(path.parent, 0o755)
        content = state.content
        if sha256(content).hexdigest() != state.digest:
            # Read from a journal, which holds no secrets: the content that is there stays.
            content = machine.read(path) or b""
        machine.write(path, content, state.mode, owner)
