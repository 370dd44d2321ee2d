"""The server that Hostel runs on: its places, its machine file, its httpd. Finds and reads only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources as package_files
from pathlib import Path

from hostel import httpd_build, interpreter, machine_file
from hostel.account import Account
from hostel.errors import Busy, HostelError, UsageError
from hostel.haproxy import RouterPorts
from hostel.httpd_build import Httpd
from hostel.instance_conf import Behind
from hostel.interpreter import Interpreter
from hostel.machine import Machine
from hostel.platforms import debian
from hostel.platforms.debian import ServerPlaces
from hostel.server.setting import Tools

SCRIPTS = ("wsgi.py", "launch.py", "drain.py")


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
    than a site's user could."""

    places: ServerPlaces
    ports: RouterPorts
    machine: Machine
    pythons: Pythons

    @property
    def behind(self) -> Behind:
        return Behind(self.ports.http, self.ports.https)

    @property
    def authority(self) -> Path:
        return self.places.authority / "ca.crt"

    def machine_of(self, user: str) -> Machine:
        """The machine for a site whose user exists: what its app executes runs as that user."""
        account = Account.named(user)
        if account is None:
            raise HostelError(
                f"looking for the user {user}", "there is none", "Run `hostel apply` again."
            )
        return Machine(account)

    def httpd(self) -> Httpd:
        return httpd_build.find(self.machine)

    def tools(self, httpd: Httpd) -> Tools:
        return Tools(httpd.binary, httpd.modules_dir, httpd.builtin, debian.ROTATELOGS, scripts())


def scripts() -> dict[str, bytes]:
    """Hostel's scripts that run in a site's own processes, by name."""
    folder = package_files.files("hostel") / "boot"
    return {name: (folder / name).read_bytes() for name in SCRIPTS}


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
    nobody = Account.named("nobody")
    ports = machine_file.load(places.machine_file)
    return Host(places, ports, Machine(nobody), Pythons())


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
        who = ""
        with contextlib.suppress(OSError):
            who = holder.read_text().strip()
        raise Busy(
            doing, f"another hostel is at work on it ({who or 'just begun'})", remedy
        ) from None
    try:
        holder.write_text(f"pid {os.getpid()}, {_command()}\n")
        yield
    finally:
        lock.release()


def _command() -> str:
    import shlex
    import sys

    return shlex.join(["hostel", *sys.argv[1:]])[:200]
