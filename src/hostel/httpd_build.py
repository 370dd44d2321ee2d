"""Which Apache httpd is installed, with what it has built in and where its modules lie.

Finds and asks it; starts no server and installs nothing.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostel.errors import HostelError
from hostel.machine import Machine

APPLE = Path("/usr/sbin/httpd")
"""On macOS this one refuses modules that Apple has not signed, mod_wsgi among them."""

LINUX_BINARIES = ("/usr/sbin/apache2", "/usr/sbin/httpd")
MAC_PREFIXES = ("/opt/local", "/opt/homebrew/opt/httpd", "/usr/local/opt/httpd")
MODULE_FOLDERS = (
    "lib/apache2/modules",
    "lib64/apache2/modules",
    "lib64/httpd/modules",
    "lib/httpd/modules",
    "modules",
)


@dataclass(frozen=True)
class Httpd:
    """An installed httpd. `apxs`, needed only to build modules, may be missing.

    `builtin` holds the source names of its static modules, such as "mod_so.c"; `mmn` is the
    module magic number, which says whose modules it loads.
    """

    binary: Path
    apxs: Path | None
    modules_dir: Path
    version: str
    builtin: frozenset[str]
    mmn: str


def find(machine: Machine) -> Httpd:
    """The httpd of this machine. Raises HostelError with the line that installs one."""
    for binary in _binaries():
        if (found := _inspect(binary, machine)) is not None:
            return found
    happened = "Apache httpd is not installed"
    if sys.platform == "darwin" and APPLE.exists():
        happened += " (the one Apple ships loads no modules but Apple's own)"
    raise HostelError("looking for Apache httpd", happened, how_to_install("httpd"))


def how_to_install(what: str) -> str:
    """The command of this system that installs "httpd" or "apxs"."""
    if sys.platform == "darwin":
        if Path("/opt/local/bin/port").exists():
            return "sudo port install apache2 +eventmpm +http2"
        return "brew install httpd"
    if shutil.which("apt-get"):
        return f"apt-get install {'apache2-bin' if what == 'httpd' else 'apache2-dev'}"
    if shutil.which("dnf"):
        return f"dnf install {'httpd mod_ssl mod_http2' if what == 'httpd' else 'httpd-devel'}"
    return f"Install your system's package of Apache httpd that has {what}."


def _binaries() -> Iterator[Path]:
    places: list[str | None] = []
    if sys.platform == "darwin":
        places += [f"{prefix}/{part}/httpd" for prefix in MAC_PREFIXES for part in ("sbin", "bin")]
    else:
        places += LINUX_BINARIES
    places += [shutil.which("apache2"), shutil.which("httpd")]
    for place in dict.fromkeys(places):
        if place is None or (sys.platform == "darwin" and Path(place) == APPLE):
            continue
        if Path(place).is_file():
            yield Path(place)


def _inspect(binary: Path, machine: Machine) -> Httpd | None:
    """What the program says of itself; None when it is not httpd 2.4."""
    said = machine.run([str(binary), "-V"], timeout=20).out
    version = re.search(r"Server version: Apache/(2\.4\.\d+)", said)
    if version is None:
        return None
    number = re.search(r"Module Magic Number: (\S+)", said)
    root = re.search(r'HTTPD_ROOT="([^"]*)"', said)
    listed = machine.run([str(binary), "-l"], timeout=20).out
    builtin = frozenset(re.findall(r"^ {2}(\S+\.c)$", listed, re.MULTILINE))
    apxs = _apxs_of(binary)
    modules = _modules_of(binary, Path(root[1]) if root else None, apxs, machine)
    if "event.c" not in builtin and not (modules / "mod_mpm_event.so").exists():
        raise HostelError(
            f"looking for what {binary} can do",
            f"it has no event MPM in {modules}",
            how_to_install("httpd"),
        )
    return Httpd(binary, apxs, modules, version[1], builtin, number[1] if number else "")


def _apxs_of(binary: Path) -> Path | None:
    """The apxs that belongs to this httpd: beside it, or in the bin folder of its prefix."""
    prefix = binary.parent.parent
    for folder in (binary.parent, prefix / "bin"):
        for name in ("apxs", "apxs2"):
            if (folder / name).is_file():
                return folder / name
    return None


def _modules_of(binary: Path, root: Path | None, apxs: Path | None, machine: Machine) -> Path:
    prefixes = [binary.parent.parent, *([root] if root else [])]
    for prefix in prefixes:
        for name in MODULE_FOLDERS:
            folder = prefix / name
            if (folder / "mod_alias.so").exists() or (folder / "mod_ssl.so").exists():
                return folder
    if apxs is not None:
        said = machine.run([str(apxs), "-q", "LIBEXECDIR"], timeout=20).out.strip()
        if said and Path(said).is_dir():
            return Path(said)
    raise HostelError(
        f"looking for the modules of {binary}", "none were found", how_to_install("httpd")
    )
