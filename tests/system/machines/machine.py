"""One machine: to boot, to use, to break and to remove without a trace."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from . import cgroups, network
from .debian import INIT
from .host import ROOT, HostTrouble, Process, base, empty_disk, eventually, must
from .inside import Inside
from .remains import discard, shut_down, stop, sweep
from .store import Layer

KEEPER = Path(__file__).with_name("keeper.py")


class DebianMachine(Inside):
    """Made by `boot`. A context manager: at its end, whatever happened, nothing is left."""

    def __init__(self, layer: Layer, claim: network.Claim, name: str) -> None:
        self.layer, self.claim, self.name = layer, claim, name
        self.folder = Path(claim.folder)
        self.disk = self.folder / "disk.img"
        self.state = "off"
        """What `systemctl is-system-running` said after the last boot."""
        self._volumes: list[tuple[str, str, str]] = []
        self._seed: dict[str, Any] = {"files": {}, "source": None}
        self._keeper: subprocess.Popen[bytes] | None = None
        self._leader: Process | None = None

    @classmethod
    def boot(
        cls,
        layer: Layer,
        *,
        disk: str = "6G",
        name: str = "server",
        volumes: Mapping[str, str] | None = None,
        source: Path | None = None,
    ) -> Self:
        """A fresh machine, up. `volumes`: file systems of their own, {mount point: size}.

        What has Hostel gets the source of the working tree (or of `source`) as it is now.
        """
        sweep()
        (base() / "run").mkdir(exist_ok=True)
        claim = network.claim(Process.of(os.getpid()), base() / "run")
        machine = cls(layer, claim, name)
        atexit.register(machine.close)
        try:
            machine.folder.mkdir(mode=0o700)
            empty_disk(machine.disk, disk)
            for path, size in (volumes or {}).items():
                machine._new_volume(path, size)
            hosts = f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost ip6-localhost\n"
            machine._seed["files"] = {
                "/etc/machine-id": f"{uuid.uuid4().hex}\n",
                "/etc/hostname": f"{name}\n",
                "/etc/hosts": hosts,
            }
            machine._seed["source"] = str(source or ROOT) if source or layer.parent else None
            machine.start()
        except BaseException:
            machine.close()
            raise
        return machine

    # --- boot, reboot, power ----------------------------------------------------------------

    def start(self) -> None:
        """Boot the disk as it is, and wait until systemd has finished."""
        if self._keeper is not None and self._keeper.poll() is None:
            raise HostTrouble(f"{self.name} is on already")
        groups = cgroups.make(self.claim.link)
        self._record(groups=tuple(map(str, groups)))
        with (self.folder / "console.log").open("ab") as log:
            self._keeper = subprocess.Popen(
                [
                    *("unshare", "--mount", "--net", "--propagation", "private"),
                    *(sys.executable, "-s", "-B", str(KEEPER)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._record(keeper=Process.of(self._keeper.pid))
        pid = self._keeper.pid
        eventually(lambda: _namespace(pid) not in ("", _namespace(os.getpid())), "namespaces")
        cgroups.enter(groups, pid)
        network.attach(self.claim, pid)
        self._tell({**self._spec(), **self._seed})
        self._seed = {"files": {}, "source": None}
        self._wait_up()

    def _spec(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "name": self.name,
            "layers": [str(image) for image in self.layer.images()],
            "volumes": self._volumes,
            "binds": self.layer.binds,
            "init": INIT,
        }

    def _tell(self, news: Mapping[str, Any]) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps(news).encode() + b"\n")
        self._keeper.stdin.flush()

    def _wait_up(self, seconds: float = 300) -> None:
        """systemd may take a while on a busy host; only a machine that ended is given up early."""
        end = time.monotonic() + seconds
        said = ""
        while time.monotonic() < end:
            if self._keeper is None or self._keeper.poll() is not None:
                raise HostTrouble(f"{self.name} is off:\n{self.console()}")
            if self._find_leader():
                left = max(1.0, end - time.monotonic())
                ask = ["systemctl", "is-system-running", "--wait"]
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said = self.run(ask, timeout=left).stdout.strip()
                if said in ("running", "degraded"):
                    self.state = said
                    return
            time.sleep(0.05)
        raise HostTrouble(f"{self.name} is not up ({said or 'no systemd'}):\n{self.console()}")

    def _find_leader(self) -> bool:
        """The host's view of its PID 1, once that has become systemd; a new one at each boot."""
        if self._leader is not None and self._leader.alive:
            return True
        assert self._keeper is not None
        with contextlib.suppress(psutil.Error):
            for nspawn in psutil.Process(self._keeper.pid).children():
                for child in nspawn.children():
                    if nspawn.name() == "systemd-nspawn" and child.name() == "systemd":
                        self._leader = Process.of(child.pid)
                        return self._leader.alive
        return False

    def reboot(self) -> None:
        """An orderly reboot, as `systemctl reboot` does it."""
        before = self.leader
        self.run(["systemctl", "--no-block", "reboot"], check=True)
        eventually(lambda: not before.alive, f"{self.name} goes down", 300)
        self._wait_up()

    def poweroff(self) -> None:
        """An orderly end; `start` boots the same disk again."""
        self.run(["systemctl", "--no-block", "poweroff"], check=True)
        assert self._keeper is not None
        self._keeper.wait(timeout=300)
        self._stop()

    def power_cut(self) -> None:
        """All stops at once, what was not synced is lost, then the same disk is booted again."""
        self.cut()
        self.start()

    def cut(self) -> None:
        """The first half of a power cut: off, with only what had been synced on its disks.

        A killed container would keep all it wrote, in the host's cache. So its file systems are
        shut down, as the kernel's own tests of them do it.
        """
        network.detach(self.claim)
        if self._keeper is not None and self._keeper.poll() is None:
            own = (str(self.disk), str(self.folder / "disk"), "/")
            for image, where, _ in [own, *self._volumes]:
                shut_down(Path(f"/proc/{self._keeper.pid}/root{where}"), Path(image))
        self._stop()

    def _stop(self) -> None:
        """Kill whatever is left of it, and wait until no disk is in use."""
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
        self._keeper, self._leader, self.state = None, None, "off"
        stop(self.claim)

    def close(self) -> None:
        """Off, and every trace of it removed from the host. Also after a boot that failed."""
        if self.claim.number < 0:
            return
        self.cut()
        discard(self.claim)
        self.claim = dataclasses.replace(self.claim, number=-1)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Its own, reached from the host and from other machines."""
        return self.claim.address

    @property
    def leader(self) -> Process:
        """PID 1 as the host sees it."""
        if not self._find_leader() or self._leader is None:
            raise HostTrouble(f"{self.name} is off:\n{self.console()}")
        return self._leader

    def tiny_volume(self, path: str, size: str) -> None:
        """A disk of this size of its own, mounted there at once and after each boot.

        What lies there is hidden, as by any mount. A full disk is tested on this one, honestly.
        """
        image, where, _ = self._new_volume(path, size)
        keeper = ["nsenter", "-t", str(self._keeper_pid()), "-m"]
        must([*keeper, "mkdir", "-p", where])
        must([*keeper, "mount", "-o", "loop,noinit_itable", image, where])
        device = Path(must([*keeper, "findmnt", "-no", "SOURCE", where]).strip())
        # The machine has no loop devices of its own: it gets a node for as long as mount looks.
        node, number = f"/dev/{device.name}", device.stat().st_rdev
        leader = ["nsenter", "-t", str(self.leader.pid), "-m"]
        must([*leader, "mknod", node, "b", str(os.major(number)), str(os.minor(number))])
        try:
            must([*leader, "mkdir", "-p", path])
            must([*leader, "mount", "-t", "ext4", node, path])
        finally:
            must([*leader, "rm", node])
        self._tell({"volumes": self._volumes})

    def _new_volume(self, path: str, size: str) -> tuple[str, str, str]:
        number = len(self._volumes)
        image = self.folder / f"volume{number}.img"
        empty_disk(image, size)
        volume = (str(image), str(self.folder / "volumes" / str(number)), path)
        self._volumes.append(volume)
        return volume

    def _keeper_pid(self) -> int:
        if self._keeper is None or self._keeper.poll() is not None:
            raise HostTrouble(f"{self.name} is off:\n{self.console()}")
        return self._keeper.pid

    def _record(self, **news: Any) -> None:
        """Keep with the claim what must be removed, before there is any of it."""
        self.claim = dataclasses.replace(self.claim, **news)
        self.claim.save()

    def console(self, lines: int = 40) -> str:
        """The last that its console showed."""
        with contextlib.suppress(OSError):
            text = (self.folder / "console.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""


def _namespace(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return ""
