"""A setting to vary in the tests of the server's pure modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hostel.boot_files import BESIDE, FOR_ALL
from hostel.instance import Behind
from hostel.platforms.debian import ServerPlaces
from hostel.server.generations import Built
from hostel.server.setting import Ports, Setting, Tools
from hostel.site import Site

SCRIPTS = {name: f"# {name}\n".encode() for name in (*BESIDE, *FOR_ALL)}
TOOLS = Tools(
    httpd=Path("/usr/sbin/apache2"),
    modules_dir=Path("/usr/lib/apache2/modules"),
    builtin=frozenset({"core.c", "mod_unixd.c"}),
    rotatelogs=Path("/usr/bin/rotatelogs"),
    scripts=SCRIPTS,
)


def site(**said: Any) -> Site:
    facts = {"name": "shop", "app": "app.py", "domains": ["shop.example.com"], **said}
    return Site.model_validate(facts)


def setting(of: Site | None = None, **other: Any) -> Setting:
    said: dict[str, Any] = {
        "places": ServerPlaces().site("shop"),
        "site": of or site(),
        "root": Path("/home/me/shop"),
        "release": Built("abc", "/srv/hostel/shop/venvs/v", "/var/m.so", "3.11.2"),
        "env": {"GREETING": "hello", "API_KEY": "s3cret"},
        "processes": 2,
        "threads": 8,
        "certificate": 1,
        "behind": Behind(80, 443),
        "tools": TOOLS,
        "number": 7,
        "ports": Ports(21000, 21001),
    }
    return Setting(**{**said, **other})
