"""Layers that machines start from: disk images, each built once and kept until it is outdated.

A layer is the disk of a machine that was shut down, mounted read-only under the disks of others.
It is named by a digest of what went into it. Two test runs share them and never clash.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO

from .host import base, locked


@dataclass(frozen=True)
class Layer:
    """What lies in its image and in its parents'. In use, and so not removed, while it is held."""

    name: str
    key: str
    image: Path
    parent: Layer | None = None
    binds: tuple[str, ...] = ()
    """Folders of the host that are seen at the same place inside, read-only: package mirrors."""
    held: IO[bytes] | None = field(default=None, compare=False, repr=False)

    def images(self) -> list[Path]:
        """The topmost first."""
        return [self.image, *(self.parent.images() if self.parent else [])]


def digest(*parts: object) -> str:
    return sha256("\0".join(map(repr, parts)).encode()).hexdigest()[:16]


def digest_of(paths: tuple[Path, ...]) -> str:
    """Of what lies there: the files' places below the path, and their bytes."""
    parts: list[object] = []
    for top in paths:
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                parts += [str(path.relative_to(top.parent)), sha256(path.read_bytes()).hexdigest()]
    return digest(*parts)


def obtain(
    name: str,
    key: str,
    make: Callable[[Path], None],
    parent: Layer | None = None,
    binds: tuple[str, ...] = (),
) -> Layer:
    """The layer from the store; else `make` writes its image, and older ones of its name go."""
    folder = base() / "layers"
    folder.mkdir(exist_ok=True)
    image = folder / f"{name}-{key}.img"
    with locked(folder / f"{name}.lock"):
        if not image.exists():
            _forget(folder, name)
            fresh = image.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            start = time.monotonic()
            try:
                make(fresh)
                _reach_disk(fresh)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            facts = {"parent": parent.image.name if parent else None}
            seconds = round(time.monotonic() - start, 1)
            image.with_suffix(".json").write_text(json.dumps({**facts, "seconds": seconds}))
            fresh.rename(image)
        held = image.open("rb")
        fcntl.flock(held, fcntl.LOCK_SH)
    return Layer(name, key, image, parent, binds or (parent.binds if parent else ()), held)


def _reach_disk(path: Path) -> None:
    """So that a layer that is there after a crash of the host is whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _forget(folder: Path, name: str) -> None:
    """Remove layers of this name, and those whose parent is gone, that no test run uses."""
    for facts in folder.glob("*.json"):
        image = facts.with_suffix(".img")
        parent = json.loads(facts.read_text())["parent"]
        outdated = facts.name.rpartition("-")[0] == name
        if outdated or (parent and not (folder / parent).exists()):
            _remove_unused(image, facts)


def _remove_unused(image: Path, facts: Path) -> None:
    with contextlib.suppress(FileNotFoundError), image.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        image.unlink()
    facts.unlink(missing_ok=True)
