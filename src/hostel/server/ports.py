"""Making sure that nobody else has the router's ports, before anything is changed. Reads only."""

from __future__ import annotations

from hostel import coexist
from hostel.errors import HostelError
from hostel.haproxy import RouterPorts
from hostel.haproxy_unit import UNIT
from hostel.plan import Change
from hostel.ports import holder_of, is_free
from hostel.resources.service import service_key
from hostel.server.host import Host
from hostel.server.planning import Planned

ANYWHERE = "0.0.0.0"


def check(planned: Planned, host: Host) -> None:
    """Raise HostelError naming who holds a port that the router is about to take."""
    if not any(_starts_router(change) for change in planned.plan.changes):
        return
    for port in (host.ports.http, host.ports.https):
        address = host.ports.addresses[0] if host.ports.addresses else ANYWHERE
        if not is_free(address, port):
            raise _taken(address, port, host)


def _starts_router(change: Change) -> bool:
    return change.key == service_key(UNIT) and change.before is None


def _taken(address: str, port: int, host: Host) -> HostelError:
    holder = holder_of(address, port)
    other = RouterPorts(http=8080, https=8443)
    help_ = coexist.snippet(holder.name if holder else "", ("www.example.com",), other)
    return HostelError(
        f"making the router ready for port {port}",
        f"{holder or 'a program that cannot be seen'} listens there already; it is left alone",
        f"Stop it, if it is not needed. Or let it stay in front: write\n"
        f"    [router]\n    http = {other.http}\n    https = {other.https}\n"
        f"  into {host.places.machine_file}, run this again, and give it the lines above.",
        "\n".join([*help_.notes, help_.text]).rstrip(),
    )
