"""A network of each machine's own: a pair of links, and NAT to what the host reaches.

Numbers keep machines apart: number N has the link hostel-mN, the table of that name, and
10.214.N.2. They and the host's `ip_forward` are shared with other test runs, so they are claimed
in a folder that all of them see.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .host import HostTrouble, Process, locked, must

CLAIMS = Path("/run/hostel-machines")
LOCK = Path("/run/hostel-machines.lock")
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
NETWORK = "10.214"


@dataclass(frozen=True)
class Claim:
    """A number, and what must be removed should its owner be killed."""

    number: int
    owner: Process
    folder: str
    groups: tuple[str, ...] = ()
    keeper: Process | None = None

    @property
    def link(self) -> str:
        return f"hostel-m{self.number}"

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}.2"

    @property
    def gateway(self) -> str:
        return f"{NETWORK}.{self.number}.1"

    def save(self) -> None:
        file = CLAIMS / str(self.number) / "claim.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(file)


def claim(owner: Process, folder: Path) -> Claim:
    """The first free number. `folder` will hold the machine's disk, in a folder of the number."""
    with locked(LOCK):
        CLAIMS.mkdir(mode=0o700, exist_ok=True)
        routes = must(["ip", "-o", "-4", "addr", "show"])
        for number in range(1, 255):
            if (CLAIMS / str(number)).exists() or f" {NETWORK}.{number}." in routes:
                continue
            (CLAIMS / str(number)).mkdir()
            made = Claim(number, owner, str(folder / str(number)))
            made.save()
            return made
    raise HostTrouble("254 machines are up already")


def abandoned() -> list[Claim]:
    """Claims whose owner has ended without giving them back."""
    found = []
    with locked(LOCK):
        for folder in CLAIMS.glob("[0-9]*"):
            file = folder / "claim.json"
            if not file.exists():
                shutil.rmtree(folder)
                continue
            kept = json.loads(file.read_text())
            kept["owner"] = Process(**kept["owner"])
            kept["keeper"] = Process(**kept["keeper"]) if kept["keeper"] else None
            kept["groups"] = tuple(kept["groups"])
            if not kept["owner"].alive:
                found.append(Claim(**kept))
    return found


def take_over(claimed: Claim, owner: Process) -> bool:
    """Own what was abandoned; false when another run was quicker, or it is gone."""
    with locked(LOCK):
        file = CLAIMS / str(claimed.number) / "claim.json"
        if not file.exists() or json.loads(file.read_text())["owner"] != asdict(claimed.owner):
            return False
        replace(claimed, owner=owner).save()
        return True


def release(claimed: Claim) -> None:
    """Give the number back; the last one puts the host's `ip_forward` back as it was."""
    with locked(LOCK):
        shutil.rmtree(CLAIMS / str(claimed.number), ignore_errors=True)
        if any(CLAIMS.glob("[0-9]*")):
            return
        kept = CLAIMS / "ip_forward"
        if kept.exists():
            FORWARD.write_text(kept.read_text())
            kept.unlink()
        with contextlib.suppress(OSError):
            CLAIMS.rmdir()


def attach(claimed: Claim, pid: int) -> None:
    """Link the network namespace of the process to the host, and to what the host reaches."""
    with locked(LOCK):
        kept = CLAIMS / "ip_forward"
        if not kept.exists():
            kept.write_text(FORWARD.read_text())
        FORWARD.write_text("1")
    detach(claimed)
    mtu = _mtu()
    link, inside = claimed.link, ["nsenter", "-t", str(pid), "-n", "ip"]
    must(
        [
            *("ip", "link", "add", link, "mtu", mtu, "type", "veth"),
            *("peer", "name", "eth0", "mtu", mtu, "netns", str(pid)),
        ]
    )
    must(["ip", "addr", "add", f"{claimed.gateway}/24", "dev", link])
    must(["ip", "link", "set", link, "up"])
    must([*inside, "link", "set", "lo", "up"])
    must([*inside, "addr", "add", f"{claimed.address}/24", "dev", "eth0"])
    must([*inside, "link", "set", "eth0", "up"])
    must([*inside, "route", "add", "default", "via", claimed.gateway])
    own = f"ip saddr {NETWORK}.{claimed.number}.0/24 ip daddr != {NETWORK}.0.0/16 masquerade"
    chain = f"chain out {{ type nat hook postrouting priority srcnat; {own}; }}"
    must(["nft", "-f", "-"], stdin=f"table ip {link} {{\n {chain}\n}}\n")


def detach(claimed: Claim) -> None:
    """Take away the link and the table, if they are there."""
    for argv in (
        ["ip", "link", "del", claimed.link],
        ["nft", "delete", "table", "ip", claimed.link],
    ):
        subprocess.run(argv, capture_output=True, check=False, timeout=60)


def _mtu() -> str:
    """The host's own: a larger one loses packets on the way out."""
    for route in json.loads(must(["ip", "-j", "route", "show", "default"]) or "[]"):
        with contextlib.suppress(OSError, KeyError):
            return Path(f"/sys/class/net/{route['dev']}/mtu").read_text().strip()
    return "1500"
