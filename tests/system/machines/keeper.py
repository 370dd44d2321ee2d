"""Run by itself, in mount and network namespaces of its own: keeps one machine going.

Its mounts are seen by nobody else and go with it, so however a test run ends, none is left on the
host. It reads one line of JSON, mounts the disk, and runs systemd-nspawn, again after each orderly
reboot. Further lines replace what changed for the next boot. When its standard input ends, the
test run is gone, and so is the machine. Standard library only.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mirror import mirror  # type: ignore[import-not-found]

REBOOT = 133
"""How systemd-nspawn ends with --keep-unit when the machine asks for a reboot."""
OWNER_GONE = -1


def mount(*words: str | Path) -> None:
    """mount, again for a while: two machines may take the same free loop device at once."""
    for left in reversed(range(20)):
        ran = subprocess.run(["mount", *map(str, words)], check=False, timeout=60)
        if ran.returncode == 0:
            return
        if not left:
            raise SystemExit(f"keeper: cannot mount {words}")
        time.sleep(0.1)


class Keeper:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.folder = Path(spec["folder"])
        self.root = self.folder / "root"
        self.mounted: list[Path] = []

    def prepare(self) -> None:
        """Mount the layers, the disk over them and the volumes."""
        lowers = []
        for position, image in enumerate(self.spec["layers"]):
            where = self.folder / "layers" / str(position)
            self._mount(where, "-o", "loop,ro", image)
            lowers.append(str(where / "upper"))
        disk = self.folder / "disk"
        self._mount(disk, "-o", "loop,noinit_itable", self.folder / "disk.img")
        (disk / "upper").mkdir(exist_ok=True)
        (disk / "work").mkdir(exist_ok=True)
        # Without redirect_dir a folder of a layer could not be renamed, as it can on any real disk.
        sides = f"lowerdir={':'.join(lowers)},upperdir={disk}/upper,workdir={disk}/work"
        self._mount(self.root, "-t", "overlay", "-o", f"{sides},redirect_dir=on", "overlay")
        for image, where, _ in self.spec["volumes"]:
            self._mount(Path(where), "-o", "loop,noinit_itable", image)
        # systemd-nspawn leaves folders here: on the host nothing is to stay.
        Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/systemd/nspawn")
        for path, text in self.spec["files"].items():
            (self.root / path.lstrip("/")).write_text(text)
        if self.spec["source"]:
            mirror(Path(self.spec["source"]), self.root / "opt/hostel/src")
        subprocess.run(["sync", "-f", str(disk)], check=True, timeout=300)

    def _mount(self, where: Path, *words: str | Path) -> None:
        where.mkdir(parents=True, exist_ok=True)
        mount(*words, where)
        self.mounted.append(where)

    def boot(self) -> int:
        """Until the machine is off: the exit code of systemd-nspawn."""
        env = {
            "PATH": os.environ["PATH"],
            # /tmp lies on the disk, as Debian 12 has it.
            "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        }
        argv = ["setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet"]
        argv += ["-D", str(self.root), "-M", self.spec["name"]]
        argv += ["--register=no", "--keep-unit", "--kill-signal=SIGRTMIN+3", "--console=pipe"]
        argv += ["--resolv-conf=replace-host", "--timezone=off", "--link-journal=no"]
        # What systemd needs for IPAddressDeny= (bpf) and KeyringMode=.
        argv += ["--system-call-filter=bpf @keyring", "--capability=CAP_NET_ADMIN,CAP_BPF"]
        argv += [f"--bind-ro={path}" for path in self.spec["binds"] if Path(path).is_dir()]
        argv += [f"--bind={where}:{inside}" for _, where, inside in self.spec["volumes"]]
        child = subprocess.Popen([*argv, self.spec["init"]], stdin=subprocess.DEVNULL, env=env)
        return self._watch(child)

    def _watch(self, child: subprocess.Popen[bytes]) -> int:
        with selectors.DefaultSelector() as selector:
            ended = os.pidfd_open(child.pid)
            selector.register(ended, selectors.EVENT_READ)
            selector.register(0, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if 0 in ready and not self._hear():
                    child.kill()
                    child.wait()
                    return OWNER_GONE
                if ended in ready:
                    os.close(ended)
                    return child.wait()

    def _hear(self) -> bool:
        line = read_line()
        if line:
            self.spec.update(json.loads(line))
        return bool(line)

    def unmount(self) -> None:
        for where in reversed(self.mounted):
            for left in reversed(range(100)):
                ran = subprocess.run(["umount", str(where)], check=False, capture_output=True)
                if ran.returncode == 0:
                    break
                if not left:
                    print(f"keeper: cannot unmount {where}: {ran.stderr!r}", flush=True)
                time.sleep(0.05)


def read_line() -> bytes:
    """One line, and not a byte more: what is left must wake the selector."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def main() -> int:
    line = read_line()
    if not line:
        return 0
    keeper = Keeper(json.loads(line))
    try:
        keeper.prepare()
        while (code := keeper.boot()) == REBOOT:
            print("keeper: reboot", flush=True)
        print(f"keeper: off, exit {code}", flush=True)
        return max(code, 0)
    finally:
        keeper.unmount()


if __name__ == "__main__":
    sys.exit(main())
