"""Packages of the system, as one set: all that are missing come by one apt-get.

Nothing that the machine did not run before is started or enabled by it. A package that was there
before is used as it is; only what Hostel installed, or came along with that, is ever removed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hostel import no_starts
from hostel.apt import Apt
from hostel.drift import state_digest
from hostel.errors import HostelError
from hostel.ledger import Ledger
from hostel.machine import Machine
from hostel.plan import Change, Key, State, key, kind_of, name_of

_CLUSTERS = Path("etc/postgresql-common/createcluster.d/hostel.conf")
_NO_CLUSTER = b"""\
# Hostel makes its own clusters. Without this file, each new version makes and starts one.
create_main_cluster = false
"""
_UNITS = (".service", ".socket", ".timer", ".path")


@dataclass(frozen=True, kw_only=True)
class PackagesState(State):
    """Which packages of a set are installed, sorted; of whichever version."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(sorted(self.names)))


def packages_key(of: str) -> Key:
    """The key of a set of packages; in the ledger, also that of a package."""
    return key("package", of)


class Packages:
    """`sets` are the packages that are looked at, by the names of their sets; `ledger`, the one of
    the world they are in, says which packages Hostel installed. Beside its file is noted what was
    there before an installation, so that a run after a kill still knows what is new.

    `options` are for apt-get; `root` is where the system lies whose packages `machine` installs.
    """

    def __init__(
        self,
        ledger: Ledger,
        sets: Mapping[str, tuple[str, ...]],
        *,
        options: tuple[str, ...] = (),
        root: Path = Path("/"),
    ) -> None:
        self.ledger = ledger
        self.sets = sets
        self.options = options
        self.policies = root / "usr/sbin"
        self.clusters = root / _CLUSTERS
        self.note = ledger.path.with_name("packages-before")

    def observe(self, which: Key, machine: Machine) -> PackagesState | None:
        wanted = self.sets.get(name_of(which), ())
        there = Apt(machine, self.options).installed(wanted) if wanted else frozenset()
        found = tuple(name for name in wanted if name in there)
        return PackagesState(names=found) if found else None

    def parts(self, state: State | None) -> dict[Key, State]:
        """Each package for itself: one may be Hostel's and another not."""
        names = state.names if isinstance(state, PackagesState) else ()
        return {packages_key(name): PackagesState(names=(name,)) for name in names}

    def enact(self, change: Change, machine: Machine) -> None:
        self.tidy(machine)
        apt = Apt(machine, self.options)
        after = _names(change.after)
        missing = after - apt.installed(after) if after else after
        if missing:
            self._install(missing, apt, machine)
        others = {*self.sets.get(name_of(change.key), ()), *_names(change.before)} - after
        self._remove(self._own(others), apt, machine)

    def _own(self, names: Collection[str]) -> set[str]:
        return {name for name in names if self.ledger.owns(packages_key(name))}

    def staying(self, of: str, machine: Machine) -> PackagesState | None:
        """What will be left of a set when all that Hostel may remove of it is gone."""
        apt = Apt(machine, self.options)
        there = apt.installed(self.sets[of])
        left = there - self._removable(self._own(there), apt)
        return PackagesState(names=tuple(left)) if left else None

    def _removable(self, own: set[str], apt: Apt) -> set[str]:
        """Those that are there, whole or by half, and that nobody else needs or recommends."""
        present = apt.present(own)
        ours = installed_by(self.ledger, self.sets)
        free = present - apt.recommended(present, ours)
        return set(apt.removable(free, self._along(apt)).names)

    def _along(self, apt: Apt) -> set[str]:
        """What came along with Hostel's packages, but for what somebody asked for since."""
        named = {name for names in self.sets.values() for name in names}
        return {*installed_by(self.ledger, self.sets)} - named - apt.by_hand()

    def _remove(self, own: set[str], apt: Apt, machine: Machine) -> None:
        """Remove them with what came along for their sake. What others need by now is theirs."""
        removable = self._removable(own, apt) if own else set()
        along: set[str] = set()
        if removable:
            along = self._along(apt) & apt.unneeded_without(removable)
            if any(name.startswith("postgresql") for name in removable):
                self._forget_clusters(machine)
            apt.remove(removable | along)
        self.ledger.forget(*map(packages_key, own | along))

    def _forget_clusters(self, machine: Machine) -> None:
        if machine.read(self.clusters) == _NO_CLUSTER:
            machine.remove(self.clusters)
            with contextlib.suppress(OSError):  # Others may have files there.
                self.clusters.parent.rmdir()

    def tidy(self, machine: Machine) -> None:
        """Finish what a killed run left: packages half installed, units enabled, the policy."""
        if self.note.exists() or no_starts.is_left(machine, self.policies):
            with no_starts.nothing_starts(machine, self.policies):
                self._finish(Apt(machine, self.options), machine)

    def _install(self, names: frozenset[str], apt: Apt, machine: Machine) -> None:
        with no_starts.nothing_starts(machine, self.policies):
            if any(name.startswith("postgresql") for name in names) and not self.clusters.exists():
                machine.make_folder(self.clusters.parent, 0o755)
                machine.write(self.clusters, _NO_CLUSTER, 0o644)
            note = json.dumps(sorted(apt.everything())).encode()
            machine.write(self.note, note, 0o600, machine.me)
            try:
                apt.install(names)
            finally:
                self._finish(apt, machine)

    def _finish(self, apt: Apt, machine: Machine) -> None:
        """Nothing that is new since the note may start with the next boot either."""
        mended = apt.mend()  # Waits for a dpkg that outlived its apt.
        if not mended.ok:
            # Why, `install` has said. Half a package would be in the way of all that follows.
            own = installed_by(self.ledger, self.sets)
            self._remove({*apt.present(own)} - apt.installed(own), apt, machine)
        noted = machine.read(self.note)
        if noted is None:
            return
        try:
            before = frozenset(json.loads(noted))
        except (ValueError, TypeError):
            before = apt.everything()
        new = apt.everything() - before
        _disable(apt.files(new), machine)
        self._remember({name.partition(":")[0] for name in new})
        machine.remove(self.note)

    def _remember(self, names: set[str]) -> None:
        """What came along is Hostel's too: it goes when nothing needs it any more."""
        new = {
            which: PackagesState(names=(name,)) for name in names if (which := packages_key(name))
        }
        owned = self.ledger.digests
        self.ledger.settle({key: state_digest(how) for key, how in new.items() if key not in owned})


def installed_by(ledger: Ledger, sets: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The packages that Hostel installed, whichever sets they belonged to or came along with."""
    keys = (which for which in ledger.digests if kind_of(which) == "package")
    return tuple(sorted(name for which in keys if (name := name_of(which)) not in sets))


def _names(state: State | None) -> frozenset[str]:
    return frozenset(state.names) if isinstance(state, PackagesState) else frozenset()


def _disable(files: list[str], machine: Machine) -> None:
    """Disable those of these files that are units and enabled."""
    paths = [PurePosixPath(path) for path in files]
    units = sorted(
        {
            path.name
            for path in paths
            if path.suffix in _UNITS and str(path.parent).endswith("/lib/systemd/system")
        }
    )
    if not units:
        return
    # Where there is no systemctl, there is nothing that would start them.
    asked = ["systemctl", "list-unit-files", "--no-legend", "--state=enabled,enabled-runtime"]
    lines = machine.run([*asked, *units]).out.splitlines()
    enabled = [line.split()[0] for line in lines if line.strip()]
    if enabled:
        ran = machine.run(["systemctl", "disable", *enabled])
        if not ran.ok:
            raise HostelError(
                f"keeping {', '.join(enabled)} from starting", ran.tail, "Disable it by hand."
            )
