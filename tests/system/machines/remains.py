"""What a machine leaves on the host, and how it goes: also for those of a killed test run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
from pathlib import Path

from . import cgroups, network
from .host import Process, eventually, is_attached

SHUTDOWN, NOTHING_MORE = 0x8004587D, 2
"""EXT4_IOC_SHUTDOWN, and how: not even the journal is written any more."""


def shut_down(mounted: Path, image: Path) -> None:
    """Let nothing more reach the image that is mounted there.

    Where it is not, this is some folder of the host, whose file system must go on: the loop device
    behind the open folder is looked at, not what the path ought to be.
    """
    with contextlib.suppress(FileNotFoundError):
        folder = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY)
        try:
            device = os.fstat(folder).st_dev
            numbers = f"{os.major(device)}:{os.minor(device)}"
            backing = Path(f"/sys/dev/block/{numbers}/loop/backing_file")
            if backing.exists() and backing.read_text().rstrip("\n") == str(image):
                fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NOTHING_MORE))
        finally:
            os.close(folder)


def stop(claim: network.Claim) -> None:
    """Kill what is left of it, and wait until no disk of it is in use."""
    if claim.keeper is not None:
        claim.keeper.kill()  # systemd-nspawn and the machine's PID 1 die with it
    network.detach(claim)
    cgroups.remove([Path(group) for group in claim.groups])
    for image in Path(claim.folder).glob("*.img"):
        eventually(lambda image=image: not is_attached(image), f"{image} is free")  # type: ignore[misc]


def discard(claim: network.Claim) -> None:
    """Remove its folder and give its number back."""
    folder = Path(claim.folder)
    if folder.exists():
        shutil.rmtree(folder)
    network.release(claim)


def sweep() -> None:
    """Remove what test runs that were killed have left."""
    for claim in network.abandoned():
        # Two runs may start at once: only one of them gets the number, as a new owner.
        if network.take_over(claim, Process.of(os.getpid())):
            stop(claim)
            discard(claim)
