"""The layers that tests start from: bare Debian, Hostel in it, a server's packages, and more.

`layer` makes further ones: it boots a machine, runs what was asked, and keeps the disk.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .debian import bare
from .host import ROOT
from .machine import DebianMachine
from .store import Layer, digest, digest_of, obtain

__all__ = ["File", "bare", "hostel", "layer", "ready"]

SOURCE = "/opt/hostel/src"
VENV = "/opt/hostel/venv"
SERVER_PACKAGES = (
    *("apache2-bin", "apache2-dev", "apache2-utils", "ca-certificates", "gcc", "haproxy"),
    *("libc6-dev", "python3-dev", "python3-venv"),
)
APT = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qy", "-o", "Acquire::Retries=3"]


@dataclass(frozen=True)
class File:
    """A step of a layer that writes a file."""

    path: str
    text: str
    mode: int = 0o644


Step = Sequence[str] | File


def layer(name: str, parent: Layer, steps: Sequence[Step], depends: Sequence[Path] = ()) -> Layer:
    """`parent` after these steps: commands and files. `depends`: what else it is made from.

    A layer that Hostel itself had a hand in depends on Hostel's source: `depends=[ROOT / "src"]`.
    The machine is shut down in order, so what is kept is what a server has after a restart.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a layer's name is small letters, digits and _: {name}")
    key = digest(parent.key, [step if isinstance(step, File) else list(step) for step in steps])
    key = digest(key, digest_of(tuple(depends)))
    return obtain(name, key, lambda image: _build(image, parent, steps), parent)


def _build(image: Path, parent: Layer, steps: Sequence[Step]) -> None:
    machine = DebianMachine.boot(parent, disk="16G", source=ROOT)
    with machine:
        for step in steps:
            if isinstance(step, File):
                machine.write(step.path, step.text, step.mode)
            else:
                machine.run(step, timeout=1800, check=True)
        machine.poweroff()
        shutil.move(machine.disk, image)


def hostel() -> Layer:
    """bare, and Hostel as `hostel`. Every machine gets the working tree's own source anew."""
    lock = ROOT / "requirements.lock"
    uv = f"{VENV}/bin/uv"
    sync = f"pip sync --quiet --python {VENV}/bin/python --require-hashes {SOURCE}/{lock.name}"
    this = f"pip install --quiet --python {VENV}/bin/python --no-deps -e {SOURCE}"
    imports = "import click, cryptography.x509, dotenv, filelock, psutil, psycopg, pydantic, uv"
    steps: list[Step] = [
        ["python3", "-m", "venv", VENV],
        File("/tmp/uv.txt", _entry(lock.read_text(), "uv")),
        [f"{VENV}/bin/pip", "install", "--quiet", "--require-hashes", "-r", "/tmp/uv.txt"],
        ["env", "UV_SYSTEM_CERTS=1", uv, *sync.split()],
        ["env", "UV_SYSTEM_CERTS=1", uv, *this.split()],
        ["ln", "-s", f"{VENV}/bin/hostel", "/usr/local/bin/hostel"],
        # Compiled once here, not in every machine.
        [f"{VENV}/bin/python", "-c", imports],
        ["hostel", "--version"],
        ["rm", "-rf", "/tmp/uv.txt", "/root/.cache"],
    ]
    return layer("hostel", bare(), steps, depends=[lock, ROOT / "pyproject.toml"])


def _entry(lock: str, package: str) -> str:
    """The lines of one package, with its hashes."""
    found = re.search(rf"^{package}==.*\n(?:[ ].*\n)*", lock, re.MULTILINE)
    if found is None:
        raise ValueError(f"{package} is not in the lock")
    return found[0]


def ready() -> Layer:
    """hostel, and the packages that a server of Hostel's has, with none of their services on."""
    policy = "/usr/sbin/policy-rc.d"
    steps: list[Step] = [
        File(policy, "#!/bin/sh\nexit 101\n", 0o755),
        [*APT, "update"],
        [*APT, "install", "--no-install-recommends", *SERVER_PACKAGES],
        [*APT, "clean"],
        ["systemctl", "disable", "haproxy.service"],
        ["rm", policy],
    ]
    return layer("ready", hostel(), steps)
