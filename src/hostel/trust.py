"""What makes browsers and tools of this machine trust the local CA, and how that is undone.

`look` observes, `steps` and `undo` decide (pure), `carry_out` does. Knows the stores of common
systems as data; makes no certificate. The macOS part has been written from its manual.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hostel import certificate
from hostel.errors import HostelError
from hostel.localca import Authority, common_name
from hostel.machine import Machine

NICKNAME = "Hostel local CA ("
"""How the nicknames of all our authorities begin in an NSS database."""


@dataclass(frozen=True)
class Store:
    """A kind of system-wide store: where anchors are put, what takes them up and takes them out."""

    anchors: Path
    ending: str
    update: tuple[str, ...]
    clean: tuple[str, ...]
    bundle: Path


STORES = (
    Store(  # Debian, Ubuntu, Alpine
        Path("/usr/local/share/ca-certificates"),
        ".crt",
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),
        Path("/etc/ssl/certs/ca-certificates.crt"),
    ),
    Store(  # Fedora, RHEL
        Path("/etc/pki/ca-trust/source/anchors"),
        ".pem",
        ("update-ca-trust",),
        ("update-ca-trust",),
        Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    ),
    Store(  # Arch
        Path("/etc/ca-certificates/trust-source/anchors"),
        ".crt",
        ("update-ca-trust",),
        ("update-ca-trust",),
        Path("/etc/ca-certificates/extracted/tls-ca-bundle.pem"),
    ),
    Store(  # SUSE
        Path("/usr/share/pki/trust/anchors"),
        ".pem",
        ("update-ca-certificates",),
        ("update-ca-certificates",),
        Path("/var/lib/ca-certificates/ca-bundle.pem"),
    ),
)

FIREFOX = (
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
)
CHROMIUM = (".pki/nssdb", "snap/chromium/current/.pki/nssdb")
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "brave")


@dataclass(frozen=True)
class Database:
    """A browser's own store (NSS), and the nicknames of our authorities in it."""

    path: Path
    exists: bool = True
    nicknames: tuple[str, ...] = ()


@dataclass(frozen=True)
class SystemFacts:
    """All that the decision depends on. `certificate` is None when there is no CA (any more)."""

    root: bool
    certificate: Path | None
    nickname: str
    mark: str
    store: Store | None = None
    trusted: bool = False
    anchors: tuple[Path, ...] = ()
    databases: tuple[Database, ...] = ()
    certutil: bool = False
    keychain: Path | None = None


@dataclass(frozen=True)
class Step:
    """Something to do, as commands; or, without any, something to tell (`hint`)."""

    what: str
    commands: tuple[tuple[str, ...], ...] = ()
    root: bool = False
    hint: str = ""


# -- deciding (pure) ------------------------------------------------------------------------


def steps(facts: SystemFacts) -> tuple[Step, ...]:
    """What is still to be done until this machine and the user's browsers trust the CA."""
    if facts.certificate is None:
        return ()
    cert = str(facts.certificate)
    out: list[Step] = []
    if facts.keychain is not None and not facts.trusted:
        admin = ("-d",) if facts.root else ()
        command = ("security", "add-trusted-cert", *admin, "-r", "trustRoot", "-k")
        out.append(Step("the keychain", ((*command, str(facts.keychain), cert),)))
    elif facts.store is not None and not facts.trusted:
        anchor = _anchor(facts, facts.store)
        stale = [str(path) for path in facts.anchors if path != anchor]
        commands = (
            *((("rm", "-f", *stale),) if stale else ()),
            ("install", "-m", "0644", cert, str(anchor)),
            facts.store.update,
        )
        out.append(Step("the system's certificates", commands, root=True))
    elif facts.store is None and facts.keychain is None:
        out.append(
            Step(
                "the system's certificates",
                hint="no store known to Hostel was found; on Debian: apt install ca-certificates",
            )
        )
    wanting = [one for one in facts.databases if facts.nickname not in one.nicknames]
    return (*out, *_browsers(facts, wanting, _add))


def undo(facts: SystemFacts) -> tuple[Step, ...]:
    """What takes every trace of the user's local CA, and of earlier ones, out again."""
    out: list[Step] = []
    if facts.keychain is not None:
        if facts.certificate is not None and facts.trusted:
            admin = ("-d",) if facts.root else ()
            command = ("security", "remove-trusted-cert", *admin, str(facts.certificate))
            out.append(Step("the keychain", (command,)))
    elif facts.store is not None and facts.anchors:
        remove = ("rm", "-f", *(str(path) for path in facts.anchors))
        out.append(Step("the system's certificates", (remove, facts.store.clean), root=True))
    holding = [one for one in facts.databases if one.nicknames]
    return (*out, *_browsers(facts, holding, _delete))


Commands = tuple[tuple[str, ...], ...]


def _browsers(
    facts: SystemFacts,
    databases: list[Database],
    commands: Callable[[Database, SystemFacts], Commands],
) -> tuple[Step, ...]:
    if databases and not facts.certutil:
        hint = (
            "browsers keep certificates of their own; to reach them, install certutil: "
            "apt install libnss3-tools (Debian), dnf install nss-tools (Fedora), "
            "port install nss (MacPorts)"
        )
        return (Step("the browsers", hint=hint),)
    return tuple(Step(f"the browser's {one.path}", commands(one, facts)) for one in databases)


def _add(one: Database, facts: SystemFacts) -> Commands:
    make = (
        ("mkdir", "-p", "-m", "0700", str(one.path)),
        ("certutil", "-N", "-d", f"sql:{one.path}", "--empty-password"),
    )
    add = ("certutil", "-A", "-d", f"sql:{one.path}", "-t", "C,,", "-n", facts.nickname, "-i")
    return (
        *(() if one.exists else make),
        *(_delete_one(one, name) for name in one.nicknames),
        (*add, str(facts.certificate)),
    )


def _delete(one: Database, _facts: SystemFacts) -> Commands:
    return tuple(_delete_one(one, name) for name in one.nicknames)


def _delete_one(one: Database, nickname: str) -> tuple[str, ...]:
    return ("certutil", "-D", "-d", f"sql:{one.path}", "-n", nickname)


def _anchor(facts: SystemFacts, store: Store) -> Path:
    return store.anchors / f"hostel-local-ca-{facts.mark}{store.ending}"


# -- observing and doing --------------------------------------------------------------------


def look(authority: Authority | None, machine: Machine, home: Path | None = None) -> SystemFacts:
    """How this machine and the user's browsers stand to the authority now."""
    home = home or Path.home()
    mark = _mark(authority.cert_pem) if authority else ""
    cert = authority.cert_path if authority else None
    nickname = f"{common_name(machine)} {mark}"
    has_certutil = shutil.which("certutil") is not None
    databases = tuple(_databases(home, machine, has_certutil))
    if sys.platform == "darwin":
        keychain = (
            Path("/Library/Keychains/System.keychain")
            if machine.is_root
            else home / "Library/Keychains/login.keychain-db"
        )
        checked = ["security", "verify-cert", "-q", "-l", "-L", "-c", str(cert)]
        trusted = cert is not None and machine.run(checked).ok
        return SystemFacts(
            machine.is_root, cert, nickname, mark, None, trusted, (), databases, has_certutil,
            keychain,
        )  # fmt: skip
    store = next((one for one in STORES if _present(one)), None)
    trusted = bool(store and authority and _bundled(store, authority, machine))
    anchors = tuple(_anchors(store, machine)) if store else ()
    return SystemFacts(
        machine.is_root, cert, nickname, mark, store, trusted, anchors, databases, has_certutil
    )


def wanting(authority: Authority, machine: Machine) -> bool:
    """Whether `hostel cert trust` still has something to do that can be done."""
    return any(step.commands for step in steps(look(authority, machine)))


def carry_out(step: Step, machine: Machine) -> None:
    """Run the step's commands. Raises HostelError with what the failing one said."""
    for command in step.commands:
        # The tools of administration are in /usr/sbin, which not every PATH has.
        path = shutil.which(command[0], path=_search_path())
        ran = machine.run([path or command[0], *command[1:]])
        if not ran.ok:
            import shlex

            said = ran.tail.splitlines() or [f"exit code {ran.code}"]
            raise HostelError(
                f"changing {step.what}",
                said[-1],
                f"Try it by hand: {shlex.join(command)}",
                "\n".join(said[:-1]),
            )


def _mark(pem: bytes) -> str:
    return certificate.facts(pem).sha256.replace(":", "").lower()[:16]


def _present(store: Store) -> bool:
    tool = shutil.which(store.update[0], path=_search_path())
    return tool is not None and store.anchors.is_dir()


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _bundled(store: Store, authority: Authority, machine: Machine) -> bool:
    bundle = machine.read(store.bundle) or b""
    return b"".join(authority.cert_pem.split()) in b"".join(bundle.split())


def _anchors(store: Store, machine: Machine) -> Iterable[Path]:
    """The anchors of this user's authorities, this one and earlier ones; never another user's."""
    ours = f"CN={common_name(machine)}"
    for path in sorted(store.anchors.glob(f"hostel-local-ca-*{store.ending}")):
        with contextlib.suppress(OSError, ValueError):
            if ours in certificate.facts(machine.read(path) or b"").subject.split(","):
                yield path


def _databases(home: Path, machine: Machine, has_certutil: bool) -> Iterable[Database]:
    found = [home / name for name in CHROMIUM if (home / name / "cert9.db").is_file()]
    found += [path.parent for name in FIREFOX for path in sorted((home / name).glob("*/cert9.db"))]
    for path in found:
        yield Database(path, True, _nicknames(path, machine) if has_certutil else ())
    usual = home / CHROMIUM[0]
    if usual not in found and any(shutil.which(name) for name in CHROMIUMS):
        yield Database(usual, exists=False)


def _nicknames(path: Path, machine: Machine) -> tuple[str, ...]:
    listed = machine.run(["certutil", "-L", "-d", f"sql:{path}"]).out
    rows = (
        re.match(r"(.*\S)\s+[A-Za-z]*,[A-Za-z]*,[A-Za-z]*\s*$", row) for row in listed.splitlines()
    )
    return tuple(row[1] for row in rows if row and row[1].startswith(NICKNAME))
