"""From a project to a running site: build, decide, apply, verify, and down again. Prints nothing.

The flow of `hostel up`, `--reload` and `hostel down`; each step lives in a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources as package_files
from pathlib import Path

from hostel import project as projects
from hostel.apply import World, apply, recover
from hostel.desired import INSTANCE, Code, Wanted, Web, desired
from hostel.errors import Busy, HostelError
from hostel.httpd_build import Httpd
from hostel.instance_conf import StaticFolder, modules_needed
from hostel.plan import Change, Key, State, plan
from hostel.platforms import private
from hostel.private_world import database_states, world_of
from hostel.project import Project, Running
from hostel.release import Release
from hostel.verify import Front, verify

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ports:
    """What the site listens on; `https` is None where TLS is off."""

    addresses: tuple[str, ...]
    http: int
    https: int | None


@dataclass(frozen=True)
class Stage:
    """What stays the same through all releases of one `up`: httpd and its ports."""

    project: Project
    httpd: Httpd
    ports: Ports
    cache: Path


def claim(project: Project, machine_cache: Path, http: int | None, https: int | None) -> Stage:
    """Make sure that nothing stands in the way: not up already, ports free, httpd installed."""
    from hostel import httpd_build, ports

    site, layout, machine = project.site, project.layout, project.machine
    already = projects.instance_of(layout, machine)
    if already is not None:
        known = projects.running(layout, machine)
        at = f" at {known.urls[0]}" if known and known.urls else ""
        raise Busy(
            f"bringing {site.name} up",
            f"it is up already{at} (httpd, pid {already.pid})",
            "Stop it first with `hostel down`, or look at it with `hostel status`.",
        )
    httpd = httpd_build.find(machine)
    tls = site.tls.mode != "off"
    wanted = [http or 8080, *([https or 8443] if tls else [])]
    usable = tuple(
        address for address in site.server.listen if ports.usable(address)
    )
    for address in usable:
        for port in wanted:
            ports.check_free(address, port)
    return Stage(
        project, httpd, Ports(usable, wanted[0], wanted[1] if tls else None), machine_cache
    )
