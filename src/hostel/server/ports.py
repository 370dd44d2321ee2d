"""Making sure that nobody else has the router's ports, before anything is changed. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from hostel import coexist
from hostel.errors import HostelError
from hostel.haproxy import RouterPorts
from hostel.haproxy_unit import UNIT, USER
from hostel.ports import Holder, holder_of, is_free, usable
from hostel.resources.router_files import router_key
from hostel.resources.service import service_key
from hostel.server.host import Host
from hostel.server.planning import Planned
from hostel.server.setting import LOOPBACK

ANYWHERE = "0.0.0.0"


def check(planned: Planned, host: Host, names: Sequence[str]) -> None:
    """Raise HostelError naming who holds a port that the router is about to take.

    `names` are those of the sites, for what another server would have to pass on.
    """
    router = (service_key(UNIT), router_key())
    if not any(change.key in router for change in planned.plan.changes):
        return
    for address in host.ports.addresses:
        for port in (host.ports.http, host.ports.https):
            if is_free(address, port) or not usable(address):
                continue
            holder = holder_of(address, port)
            if holder is None or holder.user != USER:
                raise _taken(holder, port, host, names)


def lines_for(names: Sequence[str], host: Host) -> str:
    """What the server in front needs to pass these names on, with what to know about it; "" where
    there is none.
    """
    if not host.ports.behind:
        return ""
    holder = holder_of(ANYWHERE, 443) or holder_of(ANYWHERE, 80)
    help_ = coexist.snippet(holder.name if holder else "the other server", names, host.ports)
    return "\n".join([*help_.notes, help_.text]).rstrip()


def _taken(holder: Holder | None, port: int, host: Host, names: Sequence[str]) -> HostelError:
    http = next(one for one in range(8080, 8180) if is_free(LOOPBACK, one))
    https = next(one for one in range(8443, 8543) if is_free(LOOPBACK, one))
    other = RouterPorts(http=http, https=https)
    help_ = coexist.snippet(holder.name if holder else "the other server", names, other)
    return HostelError(
        f"making the router ready for port {port}",
        f"{holder or 'a program that cannot be seen'} listens there already; it is left alone",
        f"Stop it, if it is not needed. Or let it stay in front: write\n"
        f"    [router]\n    http = {http}\n    https = {https}\n    behind = true\n"
        f"  into {host.places.machine_file}, run this again, and give it the lines above.",
        "\n".join([*help_.notes, help_.text]).rstrip(),
    )
