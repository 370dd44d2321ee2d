"""The server that Hostel runs on: its places, its machine file, its httpd. Finds and reads only."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from hostel import boot_files, httpd_build, interpreter, machine_file
from hostel.account import Account
from hostel.background import Limits
from hostel.confined import ROOMY, Confined
from hostel.errors import Busy, HostelError, UsageError
from hostel.haproxy import RouterPaths, RouterPorts
from hostel.haproxy_unit import UNIT
from hostel.httpd_build import Httpd
from hostel.instance import Behind
from hostel.interpreter import Interpreter
from hostel.machine import Machine, explained
from hostel.platforms import debian
from hostel.platforms.debian import ServerPlaces
from hostel.resources.route import RememberedRoutes, Routes
from hostel.resources.service import Services
from hostel.server.setting import Tools
from hostel.systemctl import Systemctl

_INSTANCE = re.compile(r"hostel-instance@(.+)-[0-9]+\.service")


@dataclass
class Pythons:
    """Which Python a project gets; asked once for each wish, since each answer starts several."""

    known: dict[str, Interpreter] = field(default_factory=dict)

    def choose(self, wanted: str | None, root: Path, machine: Machine) -> Interpreter:
        wish = interpreter.wish_of(wanted, root)
        if wish.text not in self.known:
            self.known[wish.text] = interpreter.choose(wanted, root, machine)
        return self.known[wish.text]


@dataclass(frozen=True)
class Host:
    """This server. `machine` looks at things with the rights of nobody where it must not see more
    than a site's user could. What systemd and the router said is kept in `services` and `routes`,
    for all sites that are looked at.
    """

    places: ServerPlaces
    ports: RouterPorts
    machine: Machine
    pythons: Pythons
    services: Services
    routes: RememberedRoutes

    @property
    def behind(self) -> Behind:
        return Behind(*self.ports.public)

    @property
    def authority(self) -> Path:
        return self.places.authority / "ca.crt"

    def forget(self) -> None:
        """Ask systemd and the router anew the next time."""
        self.services.forget()
        self.routes.forget()

    def machine_of(self, user: str, limits: Limits = ROOMY) -> Machine:
        """The machine for a site whose user exists: what its app executes runs as that user, and
        within these limits.
        """
        account = Account.named(user)
        if account is None:
            raise HostelError(
                f"looking for the user {user}", "there is none", "Run `hostel apply` again."
            )
        return Confined(account, self.places.boot / "launch.py", limits)

    def httpd(self) -> Httpd:
        return httpd_build.find(self.machine)

    def tools(self, httpd: Httpd) -> Tools:
        return Tools(httpd.binary, httpd.modules_dir, httpd.builtin, debian.ROTATELOGS, scripts())


def scripts() -> dict[str, bytes]:
    """Hostel's scripts that run in a site's own processes, by name."""
    return boot_files.texts((*boot_files.BESIDE, *boot_files.FOR_ALL))


def host_here() -> Host:
    """This server. Raises UsageError where Hostel cannot host as a server does."""
    doing = "hosting on this machine as a server"
    if os.geteuid() != 0:
        raise UsageError(
            doing, "only root can make users, units and a router", "Run it again with sudo."
        )
    if not Path("/usr/bin/apt-get").exists():
        raise UsageError(
            doing, "it is no Debian or Ubuntu", "`hostel up` hosts an app on any machine."
        )
    if not Path("/run/systemd/system").is_dir():
        raise UsageError(
            doing,
            "systemd does not run here, which would start the sites",
            "In a container, `hostel up` hosts one app without it.",
        )
    places = ServerPlaces()
    machine = Machine(Account.named("nobody"))
    ports = machine_file.load(places.machine_file)
    systemd = Systemctl(machine)
    routes = Routes(debian.HAPROXY, ports, RouterPaths(places.router), lambda: systemd.reload(UNIT))
    services = Services(lambda unit: error_log_of(unit, places))
    return Host(places, ports, machine, Pythons(), services, RememberedRoutes(routes))


def error_log_of(unit: str, places: ServerPlaces) -> Path | None:
    """Where the processes of a unit write their errors, if that is not the journal."""
    match = _INSTANCE.fullmatch(unit)
    return error_log(places.site(match[1]).log) if match else None


def error_log(folder: Path) -> Path:
    """The error log of today, as rotatelogs names it."""
    return folder / f"error.{datetime.now():%Y-%m-%d}.log"


@contextlib.contextmanager
def locked(places: ServerPlaces) -> Iterator[None]:
    """Keep other runs off this server; raises Busy, naming the first, when one is under way."""
    import filelock

    Machine().make_folder(places.run, 0o755)
    holder = places.run / "lock.pid"
    lock = filelock.FileLock(places.lock, mode=0o600)
    doing, remedy = "taking the lock of this server", "Wait for it to end, then run this again."
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise Busy(doing, f"another hostel is at work on it ({_who(holder)})", remedy) from None
    try:
        with explained(f"writing {holder}"):
            holder.write_text(f"pid {os.getpid()}, {_command()}\n")
        yield
    finally:
        lock.release()


def _who(holder: Path) -> str:
    """Who holds the lock; what a run wrote that has ended is no answer."""
    said = ""
    with contextlib.suppress(OSError):
        said = holder.read_text().strip()
    found = re.match(r"pid ([0-9]+), ", said)
    return said if found and Path("/proc", found[1]).exists() else "just begun"


def _command() -> str:
    import shlex
    import sys

    return shlex.join(["hostel", *sys.argv[1:]])[:200]
