"""Making sure that nobody else has the router's ports, before anything is changed. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from hostel import coexist
from hostel.errors import HostelError
from hostel.haproxy import RouterPorts
from hostel.haproxy_unit import UNIT
from hostel.ports import holder_of, is_free
from hostel.resources.router_files import RouterFilesState, router_key
from hostel.resources.service import service_key
from hostel.server.host import Host
from hostel.server.planning import Planned

ANYWHERE = "0.0.0.0"


def check(planned: Planned, host: Host, names: Sequence[str]) -> None:
    """Raise HostelError naming who holds a port that the router is about to take.

    `names` are those of the sites, for what another server would have to pass on.
    """
    address = host.ports.addresses[0] if host.ports.addresses else ANYWHERE
    for port in sorted(_new_ports(planned, host)):
        if not is_free(address, port):
            raise _taken(address, port, host, names)


def _new_ports(planned: Planned, host: Host) -> set[int]:
    """The ports that the router listens on after this plan, and not before."""
    wanted = {host.ports.http, host.ports.https}
    if planned.seen.get(service_key(UNIT)) is None:
        return wanted
    now = planned.seen.get(router_key())
    return wanted - ({now.http, now.https} if isinstance(now, RouterFilesState) else set())


def _taken(address: str, port: int, host: Host, names: Sequence[str]) -> HostelError:
    holder = holder_of(address, port)
    http = next(one for one in range(8080, 8180) if is_free(address, one))
    https = next(one for one in range(8443, 8543) if is_free(address, one))
    other = RouterPorts(http=http, https=https)
    help_ = coexist.snippet(holder.name if holder else "", names, other)
    return HostelError(
        f"making the router ready for port {port}",
        f"{holder or 'a program that cannot be seen'} listens there already; it is left alone",
        f"Stop it, if it is not needed. Or let it stay in front: write\n"
        f"    [router]\n    http = {http}\n    https = {https}\n"
        f"  into {host.places.machine_file}, run this again, and give it the lines above.",
        "\n".join([*help_.notes, help_.text]).rstrip(),
    )
