"""What other verbs ask of a site that is live: its environment, and to take up a changed one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hostel import envstore
from hostel.environ import compose
from hostel.errors import UsageError
from hostel.server import deploy, generations, prepare
from hostel.server.deploy import Deployed
from hostel.server.generations import Generation
from hostel.server.host import Host, locked
from hostel.site import Site

Say = Callable[[str], None]


def converge_site(name: str, host: Host, say: Say) -> Deployed:
    """Have the site run with what is stored for it now; its code stays as it is live."""
    with locked(host.places):
        deploy.mend(host)
        current = _current(name, host)
        if current is None:
            raise UsageError(f"changing {name}", "no such site is live here", "hostel apply")
        return deploy.with_stored(current, host, say)


def live_environment(name: str, host: Host) -> envstore.Live | None:
    """What the app of the live generation runs with; None where there is none."""
    current = _current(name, host)
    if current is None:
        return None
    places, site = host.places.site(name), Site.model_validate(current.site)
    told = prepare.given(site, places, Path(current.release.venv), host)
    return envstore.Live(Path(current.root), current.env, compose({}, {}, told, {}))


def _current(name: str, host: Host) -> Generation | None:
    places = host.places.site(name)
    live = generations.live_of(places, host.machine)
    return generations.all_of(places, host.machine).get(live.number) if live else None
