"""Whether a port can be listened on, and who is in the way.

Looks only: no socket made here outlives its test, and no process is touched.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostel.account import Account
from hostel.errors import HostelError

if TYPE_CHECKING:
    import psutil

WILDCARDS = ("0.0.0.0", "::")
FIRST_FREE_FOR_ALL = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port; `user` is "" and `pid` 0 where they cannot be seen."""

    name: str
    pid: int
    user: str
    site: str = ""
    """The state folder, when it is an instance of Hostel's own."""

    def __str__(self) -> str:
        who = f"{self.name} (pid {self.pid}{f', user {self.user}' if self.user else ''})"
        return f"{who}, a site of Hostel's in {self.site}" if self.site else who


class PortTaken(HostelError):
    """Another process listens there; `holder` is None when we may not see whose it is."""

    def __init__(self, address: str, port: int, holder: Holder | None) -> None:
        if holder is None:
            happened = "another process has it, which only root may see"
            remedy = f"See who with: sudo ss -ltnp 'sport = :{port}'"
        elif holder.site:
            happened = f"it is taken by {holder}"
            remedy = "Stop that site with `hostel down`"
        else:
            happened = f"it is taken by {holder}"
            remedy = f"Stop it (kill {holder.pid})"
        super().__init__(
            f"listening on {shown(address, port)}",
            happened,
            f"{remedy}, or use other ports with --http and --https.",
        )
        self.holder = holder


def usable(address: str) -> bool:
    """Whether this machine has the address at all; without IPv6 it has no ::1."""
    try:
        with _socket_for(address) as one:
            one.bind((address, 0))
    except OSError as error:
        # What is wrong otherwise (too many open files, say) is no matter of the address.
        return error.errno not in (
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,
            errno.EPROTONOSUPPORT,
            errno.EINVAL,
        )
    return True


def check_free(address: str, port: int, runner: Account | None = None) -> None:
    """Make sure that httpd, run as `runner` (default: as us), could listen there.

    Raises PortTaken, or HostelError for an address this machine lacks or a port that needs root.
    """
    if runner is not None and runner.uid != 0 and port < _first_for_all():
        raise _needs_root(address, port, runner.name)
    try:
        with _socket_for(address) as one:
            # As httpd does it: old connections in TIME_WAIT are no hindrance, a listener is.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, port))
            # Two sockets that both reuse the address may be bound; only one may listen.
            one.listen(1)
    except OSError as error:
        raise _explained(address, port, error) from error


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there now; says nothing of who is in the way."""
    try:
        with _socket_for(address) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, port))
            one.listen(1)
    except OSError:
        return False
    return True


def free_port(address: str = "127.0.0.1") -> int:
    """A port nobody listens on now; it may be taken a moment later."""
    with _socket_for(address) as one:
        one.bind((address, 0))
        port: int = one.getsockname()[1]
        return port


def holder_of(address: str, port: int) -> Holder | None:
    """Who listens on the port in a way that keeps us from it; None if that cannot be seen.

    Where a server and its children share the socket, the eldest is named.
    """
    import psutil

    listeners = []
    for process in _listeners(address, port):
        with contextlib.suppress(psutil.Error):
            listeners.append((process.create_time(), process.pid, process))
    if not listeners:
        return None
    eldest = min(listeners, key=lambda one: one[:2])[2]
    name, user, site = str(eldest.pid), "", ""
    with contextlib.suppress(psutil.Error):
        name = eldest.name()
    with contextlib.suppress(psutil.Error, KeyError):
        user = eldest.username()
    with contextlib.suppress(psutil.Error):
        site = _site(eldest.cmdline())
    return Holder(name, eldest.pid, user, site)


def shown(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# -- within ---------------------------------------------------------------------------------


def _listeners(address: str, port: int) -> Iterator[psutil.Process]:
    import psutil

    # One process at a time: the machine-wide list names one process for each socket, not all
    # that share it, and needs root on macOS.
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            for one in process.net_connections("tcp"):
                if (
                    one.status == psutil.CONN_LISTEN
                    and one.laddr.port == port
                    and _in_the_way(one.laddr.ip, address)
                ):
                    yield process
                    break


def _in_the_way(theirs: str, ours: str) -> bool:
    if theirs == ours or theirs in WILDCARDS or ours in WILDCARDS:
        return True
    mapped = getattr(ipaddress.ip_address(theirs), "ipv4_mapped", None)
    return mapped is not None and str(mapped) == ours


def _site(argv: list[str]) -> str:
    """The state folder of an instance by its command line: httpd -f STATE/instance/httpd.conf."""
    with contextlib.suppress(ValueError, IndexError):
        conf = Path(argv[argv.index("-f") + 1])
        if conf.parts[-2:] == ("instance", "httpd.conf"):
            return str(conf.parent.parent)
    return ""


def _socket_for(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def _explained(address: str, port: int, error: OSError) -> HostelError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(address, port, holder_of(address, port))
    if error.errno in (errno.EACCES, errno.EPERM):
        return _needs_root(address, port, Account.current().name)
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return HostelError(
            f"listening on {shown(address, port)}",
            f"this machine has no address {address}",
            "Take it out of [server] listen, or see which there are with: ip address",
        )
    return HostelError(f"listening on {shown(address, port)}", error.strerror or str(error))


def _needs_root(address: str, port: int, user: str) -> HostelError:
    return HostelError(
        f"listening on {shown(address, port)}",
        f"ports below {_first_for_all()} are root's, and the site runs as {user}",
        "Use a higher port, such as 8080 or 8443, or open them to all on this machine: "
        f"sudo sysctl net.ipv4.ip_unprivileged_port_start={port}",
    )


def _first_for_all() -> int:
    try:
        return int(FIRST_FREE_FOR_ALL.read_text())
    except (OSError, ValueError):
        return 1024
