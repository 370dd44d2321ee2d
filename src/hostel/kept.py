"""What a site keeps on a server: files and folders its app writes to, in the site's data folder.

There the app's user may write, and no release holds them. What the project has of them is copied
once, when the data folder does not have it yet; after that the server's own is what counts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine, remedy_for


def bring(root: Path, keep: Iterable[str], data: Path, machine: Machine) -> None:
    """Have each of them in `data`, as the runner's; a name without a suffix is taken for a folder.

    Written by a process of the runner's rights where it can be: `data` is the app's to change, and
    root follows no link that the app put there.
    """
    for name in keep:
        target, origin = data / name, root / name
        if os.path.lexists(target):
            continue
        if _is_there(origin, root, machine):
            _copy(origin, target, root, machine)
        elif not target.suffix:
            _as_runner(["mkdir", "-p", "--", str(target)], target, machine)
        else:
            _as_runner(["mkdir", "-p", "--", str(target.parent)], target, machine)


def link(keep: Iterable[str], data: Path, code: Path) -> None:
    """Put links to them into a release that is being made, where its copy made none yet."""
    for name in keep:
        path = code / name
        if not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(data / name)


def _is_there(origin: Path, root: Path, machine: Machine) -> bool:
    with machine.eyes_of_owner(root):
        return origin.exists()


def _copy(origin: Path, target: Path, root: Path, machine: Machine) -> None:
    """Through an archive: read with the eyes of the project's owner, written by the runner."""
    import io
    import tarfile

    archive = io.BytesIO()
    try:
        with machine.eyes_of_owner(root), tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(origin, arcname=target.name)
    except OSError as error:
        raise HostelError(
            f"copying {origin} to {target}", error.strerror or str(error), remedy_for(error)
        ) from error
    _as_runner(["mkdir", "-p", "--", str(target.parent)], target, machine)
    tar_program = shutil.which("tar") or "tar"
    unpack = [tar_program, "-x", "--no-same-owner", "-C", str(target.parent), "-f", "-"]
    _as_runner(unpack, target, machine, archive.getvalue())


def _as_runner(argv: list[str], target: Path, machine: Machine, stdin: bytes = b"") -> None:
    ran = machine.run(argv, as_runner=True, stdin=stdin, cwd=Path("/"))
    if not ran.ok:
        raise HostelError(f"making {target}, which the site keeps", ran.tail or f"code {ran.code}")
