"""Throw-away, really booted Debian 12 machines: systemd as PID 1, own network, own disk.

`tree` makes what a machine starts from, once; `DebianMachine` boots it, and removes every trace of
it at the end. Only tests use this, and only as root on Linux.
"""

from .host import ROOT, HostTrouble, why_not
from .inside import Failed
from .machine import DebianMachine
from .store import Layer
from .tree import File, bare, hostel, layer, ready

__all__ = [
    "ROOT",
    "DebianMachine",
    "Failed",
    "File",
    "HostTrouble",
    "Layer",
    "bare",
    "hostel",
    "layer",
    "ready",
    "why_not",
]
