"""Certificates of sites on a server, issued by the machine's own authority.

A certificate is a file of key and chain, named by its edition: one is never written over another,
so undo never has to remember a key.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from hostel.account import owner_of
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, Key, State, key, name_of
from hostel.states import surrounding

MODE = 0o440


@dataclass(frozen=True, kw_only=True)
class SiteCertificateState(State):
    """A good certificate for these names; `owner` is `user:group` of the file with its key."""

    names: tuple[str, ...]
    owner: str
    mode: int = MODE


def certificate_key(path: Path) -> Key:
    return key("certificate", path)


class SiteCertificates:
    """The certificates of all sites, of the authority in the folder `authority`."""

    def __init__(self, authority: Path) -> None:
        self.authority = authority

    def observe(self, which: Key, machine: Machine) -> SiteCertificateState | None:
        path = Path(name_of(which))
        pem = machine.read(path)
        if pem is None:
            return None
        info = path.stat()
        owner = owner_of(info.st_uid, info.st_gid)
        return SiteCertificateState(
            names=names_in(pem),
            owner=owner,
            mode=stat.S_IMODE(info.st_mode),
            needs=surrounding(path, owner),
        )

    def enact(self, change: Change, machine: Machine) -> None:
        path = Path(name_of(change.key))
        if change.after is None:
            machine.remove(path)
            return
        from hostel import localca

        state = change.after
        assert isinstance(state, SiteCertificateState)
        owner = machine.owner(state.owner, f"writing {path}")
        pem = machine.read(path)
        if pem is None or names_in(pem) != state.names:
            pem = localca.leaf(localca.ensure(self.authority, machine), state.names)
        machine.write(path, pem, state.mode, owner)


def names_in(pem: bytes) -> tuple[str, ...]:
    """The names a certificate is for, in its order; none of what is no certificate."""
    from cryptography import x509

    try:
        cert, *_ = x509.load_pem_x509_certificates(pem)
        said = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(str(name.value) for name in said)


def edition_of(
    current: int, names: tuple[str, ...], path: Path, authority: Path, machine: Machine
) -> int:
    """The edition to serve with: the current one, in `path`, if it is still good, else the next.

    Raises HostelError for an authority that is damaged.
    """
    from hostel import localca

    if not current:
        return 1
    issuer = localca.load(authority, machine)
    pem = machine.read(path)
    good = issuer is not None and pem is not None and localca.still_good(pem, names, issuer)
    return current if good else current + 1


def authority_of(folder: Path) -> Path:
    """The certificate that clients must trust. Raises HostelError where there is none."""
    path = folder / "ca.crt"
    if not path.is_file():
        raise HostelError(
            "looking for the machine's certificate authority",
            f"there is no {path}",
            "Run `hostel apply`: it makes one.",
        )
    return path
