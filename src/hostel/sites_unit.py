"""The systemd unit that stands between instances and what they are started after. Pure, as text."""

from __future__ import annotations

SITES = "hostel-sites.target"
"""Instances are ordered after it alone. systemd starts, restarts and reloads nothing that a unit is
ordered after while that unit is being stopped, and an instance drains for minutes: a router that
crashed meanwhile would stay away for as long. This one is never started anew.
"""


def sites_unit() -> str:
    """The text of it."""
    return _TEXT


_TEXT = """\
# Written by Hostel; it is replaced at the next change.
[Unit]
Description=All that sites need is there (Hostel)
# No wait for the network: an instance listens on loopback alone, and an app that needs more to
# start is tried again. What is ordered after the router and D-Bus is stopped before them when the
# machine goes down.
After=network.target nss-lookup.target postgresql.service hostel-router.service dbus.service

[Install]
WantedBy=multi-user.target
"""
