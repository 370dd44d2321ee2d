"""The running router: what it has loaded, pointing it elsewhere, testing a configuration.

Speaks to HAProxy's admin socket and runs its own check. Decides nothing and writes no files:
what the router should be is `hostel.haproxy`, and `hostel.resources.route` makes it so.
"""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hostel import haproxy, processes
from hostel.errors import HostelError
from hostel.haproxy import Route, RouterPaths, RouterPorts
from hostel.machine import Machine

PATIENCE = 60.0
"""Seconds in which the router must have done what it was told."""

_ALERT = re.compile(r"\[ALERT\]\s*(?:\S+ )?\s*\([0-9]+\) : (?:config : )?(.*)")


@dataclass(frozen=True)
class Running:
    """What a running router says of itself: its structure, and each backend's address."""

    digest: str
    addresses: Mapping[str, str]


class Router:
    """A client of the router's admin socket."""

    def __init__(self, socket: Path, patience: float = PATIENCE) -> None:
        self.socket = socket
        self.patience = patience

    def running(self) -> Running | None:
        """What the router has loaded; None where no router runs."""
        said = self._ask("show info;show servers state")
        if said is None:
            return None
        try:
            return _running(said)
        except (ValueError, IndexError, KeyError) as error:
            raise HostelError(
                "asking the router what it has loaded",
                f"its answer is not understood ({error!r})",
                "Restart it: systemctl restart hostel-router",
            ) from None

    def point(self, wanted: Mapping[str, str]) -> None:
        """Send new connections of these backends to other addresses, at once, without a reload.

        Returns when the router says that it is so. Raises HostelError with its own words.
        """
        replies = [self._set(backend, address) for backend, address in wanted.items()]
        if not processes.wait(lambda: self._points(wanted), self.patience, 0.05):
            raise HostelError(
                f"pointing the router at {', '.join(wanted.values())}",
                "; ".join(filter(None, replies)) or "it does not say that it did",
                "Run the same command again, or: systemctl restart hostel-router",
            )

    def await_structure(self, digest: str) -> None:
        """Wait until a reload has come through: the new worker alone answers.

        For a moment the old worker takes connections too, so one answer is not enough.
        """
        answers = 0

        def settled() -> bool:
            nonlocal answers
            answers = answers + 1 if self._has(digest) else 0
            return answers >= 10

        if not processes.wait(settled, self.patience, 0.02):
            raise HostelError(
                "reloading the router",
                "it still runs with what it had loaded before",
                "See why with: journalctl -u hostel-router -n 30",
            )

    # -- within ---------------------------------------------------------------------------------

    def _has(self, digest: str) -> bool:
        try:
            running = self.running()
        except HostelError:
            return False  # A worker that is just going may take a question with it.
        return running is not None and running.digest == digest

    def _points(self, wanted: Mapping[str, str]) -> bool:
        running = self.running()
        if running is None:
            return True  # It has ended meanwhile; the next one reads its file.
        return all(running.addresses.get(backend) == where for backend, where in wanted.items())

    def _set(self, backend: str, address: str) -> str:
        host, port = haproxy.address_of(address).rsplit(":", 1)
        server = f"{backend}/{haproxy.SERVER}"
        return (self._ask(f"set server {server} addr {host.strip('[]')} port {port}") or "").strip()

    def _ask(self, command: str) -> str | None:
        """The router's answer; None where nobody listens."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
                one.settimeout(self.patience)
                one.connect(str(self.socket))
                one.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: one.recv(65536), b"")).decode(errors="replace")
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except OSError as error:
            raise HostelError(
                f"speaking to the router at {self.socket}",
                error.strerror or str(error),
                "See how it is with: systemctl status hostel-router",
            ) from error


def check(
    binary: Path, routes: Iterable[Route], ports: RouterPorts, paths: RouterPaths, machine: Machine
) -> None:
    """Have HAProxy itself read what would be written. Raises HostelError with its own line."""
    with tempfile.TemporaryDirectory(prefix="hostel-router-") as name:
        folder = Path(name)
        for file, text in haproxy.texts(routes, ports, replace(paths, folder=folder)).items():
            (folder / file).write_text(text)
        ran = machine.run([str(binary), "-c", "-f", str(folder / haproxy.CONFIG)], timeout=60)
    if ran.ok:
        return
    said = (ran.err or ran.out).replace(f"{folder}/", "").strip()
    alerts = _ALERT.findall(said)
    missing = f"there is no program {binary}" if ran.code == 127 else f"exit code {ran.code}"
    raise HostelError(
        "checking the router's new configuration",
        alerts[0] if alerts else missing,
        "Nothing was changed. Install HAProxy if it is missing: apt-get install haproxy",
        "\n".join(said.splitlines()[-15:]),
    )


def _running(said: str) -> Running:
    """The answer to `show info;show servers state`, which both name their fields."""
    info, mark, state = said.partition("# be_id ")
    if not mark:
        raise ValueError("it names no servers")
    facts = dict(line.partition(": ")[::2] for line in info.splitlines())
    digest = next((value for name, value in facts.items() if name.lower() == "description"), "")
    header, *rows = state.splitlines()
    fields = ["be_id", *header.split()]
    addresses = {}
    for row in rows:
        one = dict(zip(fields, row.split(), strict=False))
        if one.get("srv_name") == haproxy.SERVER:
            host = one["srv_addr"]
            shown = f"[{host}]" if ":" in host else host
            addresses[one["be_name"]] = f"{shown}:{one['srv_port']}"
    return Running(digest.strip(), addresses)
