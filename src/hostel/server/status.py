"""How the sites of a server fare: what is live, whether it answers, what it needs. Reads only."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hostel import certificate, processes
from hostel.drift import drifts
from hostel.errors import HostelError
from hostel.log_files import LogPlaces
from hostel.plan import Key
from hostel.platforms.debian import SitePlaces
from hostel.resources.route import route_key
from hostel.resources.service import Services, service_key
from hostel.server import generations
from hostel.server.generations import Generation
from hostel.server.host import Host
from hostel.server.world import world_of
from hostel.site import Site
from hostel.systemctl import Systemctl
from hostel.traffic import traffic
from hostel.verify import Front, Patience, verify

MINUTES = 15.0


def names_on(host: Host) -> tuple[str, ...]:
    """The sites that are, or were half-made, live on this server."""
    folder = host.places.sites
    found = [path.name for path in folder.glob("*/")] if folder.is_dir() else []
    return tuple(sorted(found))


def describe(name: str, host: Host) -> dict[str, Any]:
    """The facts of one site as `--json` shows them."""
    places = host.places.site(name)
    live = generations.live_of(places, host.machine)
    known = generations.all_of(places, host.machine)
    current = known.get(live.number) if live else None
    if live is None or current is None:
        return {"name": name, "state": "down", "urls": [], "release": None, "pid": None}
    site = Site.model_validate(current.site)
    unit = places.unit(current.number)
    state, answer = _answer(site, current, host)
    figures = traffic(LogPlaces(places.log, True), MINUTES, time.time())
    pid = Systemctl(host.machine).main_pid(unit)
    made = datetime.fromisoformat(current.made)
    return {
        "name": name,
        "state": state,
        "answer": answer,
        "urls": [_url(current, domain, host) for domain in _names(site)],
        "release": current.release.id,
        "generation": current.number,
        "rolled_back_to": current.of,
        "age_seconds": round((datetime.now(UTC) - made).total_seconds()),
        "unit": unit,
        "pid": pid,
        "processes": current.processes,
        "threads": current.threads,
        "memory_bytes": processes.memory(pid) if pid else None,
        "python": current.release.python,
        "traffic": asdict(figures),
        "certificate_days_left": _days_left(places, current, host),
        "drift": drift_of(places, host),
        "root": current.root,
        "log": str(places.log),
        "kept": [
            {"generation": one.number, "release": one.release.id, "made": one.made}
            for one in known.values()
        ],
    }


def drift_of(places: SitePlaces, host: Host) -> list[str]:
    """What somebody changed by hand of this site's things, a sentence each."""
    world = world_of(host)
    current = generations.live_of(places, host.machine)
    mine = (f"{places.home}/", f"{places.records}/", str(places.dropin(0).parent)[:-12])
    keys = [
        which
        for which in world.ledger.digests
        if which.startswith(("file:", "folder:")) and which.partition(":")[2].startswith(mine)
    ]
    keys += [route_key(places.name)]
    if current is not None:
        keys.append(service_key(places.unit(current.number)))
    seen = {which: world.observe(Key(which)) for which in keys}
    return [
        f"{one.key.partition(':')[2]}: {one.what}" for one in drifts(world.ledger.digests, seen, {})
    ]


def _names(site: Site) -> tuple[str, ...]:
    return site.domains or (f"{site.name}.localhost",)


def _url(current: Generation, domain: str, host: Host) -> str:
    secure = bool(current.https_port)
    http, https = host.ports.public
    port, usual = (https, 443) if secure else (http, 80)
    end = "" if port == usual else f":{port}"
    return f"http{'s' if secure else ''}://{domain}{end}"


def _answer(site: Site, current: Generation, host: Host) -> tuple[str, str]:
    """Asked through the router, as a visitor would."""
    secure = bool(current.https_port)
    port = host.ports.https if secure else host.ports.http
    front = Front(host.ports.reached, port, _names(site)[0], host.authority if secure else None)
    places = host.places.site(site.name)
    try:
        asked = Patience(site.health.path, 5)
        verify(site.name, asked, front, lambda: False, places.log / "error.log", 1 << 62)
    except HostelError as error:
        running = Services().observe(service_key(places.unit(current.number)), host.machine)
        return ("failing" if running else "down"), error.happened
    return "up", f"well ({site.health.path})"


def _days_left(places: SitePlaces, current: Generation, host: Host) -> int | None:
    pem = (
        host.machine.read(places.certificate(current.certificate)) if current.certificate else None
    )
    if pem is None:
        return None
    try:
        return certificate.facts(pem).days_left
    except ValueError:
        return None
