"""Debian's packages through apt and dpkg: which are there, to install some, to remove some.

What apt itself cannot know - which packages are whose - is decided elsewhere.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from hostel.errors import HostelError
from hostel.machine import Machine, Ran

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.]")
"""A package's name. One with a hyphen at its end would tell apt to remove it."""

WAIT_FOR_OTHERS = 600
"""Seconds that another installation, such as the nightly upgrade, may take."""

OF_USE_WITHOUT = frozenset({"ca-certificates", "locales", "ssl-cert"})
"""Packages whose purge removes what was there before them, or what others use without saying so:
the machine's language, certificates."""

_ABSENT = ("not-installed", "config-files")
_KEEP_FILES = ("--force-confdef", "--force-confold")
_APT = (
    *("apt-get", "-qy", "-o", "Acquire::Retries=3", "-o", f"DPkg::Lock::Timeout={WAIT_FOR_OTHERS}"),
    *(part for one in _KEEP_FILES for part in ("-o", f"Dpkg::Options::={one}")),
    *("-o", "Dpkg::Use-Pty=0"),
)
_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    # Ubuntu's own restarter would start and stop what this installation has nothing to do with.
    "NEEDRESTART_SUSPEND": "1",
}
_REMOVED = re.compile(r"(?m)^(?:Remv|Purg) ([^\s:]+)")
_PASSED_ON = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "APT_CONFIG")


@dataclass(frozen=True)
class Removable:
    """Which packages may go, and what still needs each of the others."""

    names: tuple[str, ...]
    needed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Apt:
    """apt-get and dpkg of this machine; `options` go to every apt-get."""

    def __init__(self, machine: Machine, options: tuple[str, ...] = ()) -> None:
        self.machine = machine
        self.options = options

    def installed(self, names: Collection[str] = ()) -> frozenset[str]:
        """Those of these packages that are installed and configured, in one question."""
        return self._query("${Package}", names)

    def present(self, names: Collection[str]) -> frozenset[str]:
        """Those of these that are there in whatever condition, such as unpacked only."""
        return self._query("${Package}", names, _ABSENT, among=False) if names else frozenset()

    def everything(self) -> frozenset[str]:
        """All packages that are installed, each with its architecture where that matters."""
        return self._query("${binary:Package}", ())

    def files(self, names: Collection[str]) -> list[str]:
        """The paths of all files of these packages."""
        if not names:
            return []
        return self._run("dpkg-query", "-L", *sorted(names)).out.splitlines()

    def mend(self) -> Ran:
        """Wait for others, and finish what an interrupted installation left half done."""
        return _patiently(lambda: self._run("dpkg", *_KEEP_FILES, "--configure", "-a"))

    def install(self, names: Collection[str]) -> None:
        """Install these packages and what they need; nothing is removed for them."""
        doing = f"installing {', '.join(sorted(names))}"
        _check(names, doing)
        mended = self.mend()
        if not mended.ok:
            raise _refused(doing, mended)
        updated = self._apt("update")
        if not updated.ok:
            # Another apt's lock on the lists, which has no timeout, goes within seconds.
            time.sleep(15)
            updated = self._apt("update")
        ran = self._apt("install", "--no-install-recommends", "--no-remove", *sorted(names))
        if not ran.ok:
            raise _refused(doing, ran, updated)

    def remove(self, names: Collection[str]) -> None:
        """Remove these packages alone; what was installed for their sake stays.

        Their configuration goes too, unless somebody changed it or it is of use without them.
        """
        doing = f"removing {', '.join(sorted(names))}"
        _check(names, doing)
        others = self._goes_with(names) - set(names)
        if others:
            raise HostelError(doing, f"others would go with them: {', '.join(sorted(others))}")
        pristine = set(names) - self.changed(names) - OF_USE_WITHOUT
        ran = self._apt("remove", *sorted(names))
        if ran.ok and pristine:
            ran = self._run("dpkg", "--purge", *sorted(pristine))
        if not ran.ok:
            raise _refused(doing, ran)

    def changed(self, names: Collection[str]) -> frozenset[str]:
        """Those of these packages of whose configuration somebody changed a file."""
        if not _is_changed(self._run("dpkg", "--verify", *sorted(names)).out):
            return frozenset()
        return frozenset(
            name for name in names if _is_changed(self._run("dpkg", "--verify", name).out)
        )

    def unneeded_without(self, names: Collection[str]) -> frozenset[str]:
        """What was installed for the sake of these, and would not be needed without them."""
        quiet = ("-o", "APT::AutoRemove::SuggestsImportant=false")
        ran = self._apt("remove", "--auto-remove", "--simulate", *quiet, *sorted(names))
        if not ran.ok:
            raise _refused(f"asking what {', '.join(sorted(names))} needed", ran)
        return frozenset(_REMOVED.findall(ran.out)) - frozenset(names)

    def recommended(self, names: Collection[str], ours: Collection[str]) -> frozenset[str]:
        """Those of these which an installed package recommends that is not one of `ours`."""
        form = "${db:Status-Status}\\t${Package}\\t${Recommends}\\n"
        found: set[str] = set()
        for line in self._run("dpkg-query", "-W", "-f", form).out.splitlines():
            status, _, rest = line.partition("\t")
            package, _, said = rest.partition("\t")
            if status == "installed" and package not in ours:
                found |= {re.split(r"[ (:]", one.strip())[0] for one in re.split(r"[,|]", said)}
        return frozenset(found & set(names))

    def by_hand(self) -> frozenset[str]:
        """The packages that somebody asked for, by name."""
        return frozenset(self._run("apt-mark", "showmanual").out.split())

    def removable(self, names: Collection[str], along: Collection[str] = ()) -> Removable:
        """Which of these can be removed without taking anything but `along` with them."""
        may = {*names, *along}
        if not names:
            return Removable(())
        if self._goes_with(names) <= may:
            return Removable(tuple(sorted(names)))
        goes = {name: self._goes_with([name]) for name in names}
        needed = {name: goes[name] - may for name in names if goes[name] - may}
        while more := [name for name in goes if name not in needed and goes[name] & set(needed)]:
            needed |= {name: goes[name] & set(needed) for name in more}
        return Removable(
            tuple(sorted(set(names) - set(needed))),
            {name: tuple(sorted(those)) for name, those in sorted(needed.items())},
        )

    def _goes_with(self, names: Collection[str]) -> set[str]:
        """What apt would remove, were it told to remove these."""
        ran = self._apt("remove", "--simulate", *sorted(names))
        if not ran.ok:
            raise _refused(f"asking what needs {', '.join(sorted(names))}", ran)
        return set(_REMOVED.findall(ran.out))

    def _query(
        self,
        what: str,
        names: Collection[str],
        statuses: tuple[str, ...] = ("installed",),
        *,
        among: bool = True,
    ) -> frozenset[str]:
        """Those whose status is among these, or is not."""
        # Names that dpkg has never heard of make its exit code 1, which says nothing else.
        ran = self._run(
            "dpkg-query", "-W", "-f", f"{what} ${{db:Status-Status}}\\n", *sorted(names)
        )
        if ran.code not in (0, 1):
            remedy = "Hostel hosts sites on Debian and Ubuntu." if ran.code == 127 else ""
            raise HostelError("asking which packages are installed", ran.tail, remedy)
        lines = (line.partition(" ") for line in ran.out.splitlines())
        return frozenset(name for name, _, status in lines if (status in statuses) == among)

    def _apt(self, *words: str) -> Ran:
        return self._run(*_APT, *self.options, *words)

    def _run(self, *argv: str) -> Ran:
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return self.machine.run(argv, env={**passed, **_ENV}, timeout=3600)


def _is_changed(verified: str) -> bool:
    """Whether `dpkg --verify` names a file of configuration whose content is another."""
    return re.search(r"(?m)^..5\S* +c ", verified) is not None


def _patiently(run: Callable[[], Ran]) -> Ran:
    """dpkg gives up at once when another has its lock."""
    end = time.monotonic() + WAIT_FOR_OTHERS
    ran = run()
    while not ran.ok and "locked by another process" in ran.err and time.monotonic() < end:
        time.sleep(2)
        ran = run()
    return ran


def _check(names: Collection[str], doing: str) -> None:
    bad = [name for name in names if not NAME.fullmatch(name)]
    if bad:
        raise HostelError(doing, f"{bad[0]!r} is no name of a package")


def _refused(doing: str, ran: Ran, updated: Ran | None = None) -> HostelError:
    """What apt or dpkg says, its decisive line first; a mirror that is away comes before all."""
    texts = [one.err for one in (updated, ran) if one is not None and not one.ok]
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "dpkg: error"))]
    happened = errors[0].removeprefix("E:").strip() if errors else f"apt ended with {ran.code}"
    return HostelError(doing, happened, _remedy("\n".join(lines)), "\n".join(lines[-15:]))


def _remedy(said: str) -> str:
    remedies = {
        "No space left on device": "Free some space on that disk",
        "not have enough free space": "Free some space on that disk",
        "Temporary failure resolving": "See whether this machine can reach the package mirror",
        "Unable to locate package": "See which package sources /etc/apt names",
        "remove is disabled": "Settle it by hand with apt-get: other packages would have to go",
        "Could not get lock": "Wait until the other installation has ended",
    }
    found = [remedy for words, remedy in remedies.items() if words in said]
    return f"{found[0] if found else 'Mend what apt says'}, then run the same command again."
