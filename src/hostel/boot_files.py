"""The texts of `boot/`: what is copied to where a site's own Python runs it. Only reads them."""

from __future__ import annotations

from importlib import resources

BESIDE = ("wsgi.py", "load.py", "faithful.py")
"""What lies beside each boot.json: httpd runs wsgi.py, which finds the others there."""

FOR_ALL = ("launch.py", "drain.py")
"""What all sites of a server run from one folder."""


def texts(names: tuple[str, ...]) -> dict[str, bytes]:
    """These files' contents, by name."""
    folder = resources.files("hostel") / "boot"
    return {name: (folder / name).read_bytes() for name in names}
