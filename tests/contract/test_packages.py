"""Packages through the real apt and dpkg, in a copy of this system that is thrown away after.

The copy is an overlay: what is written there never reaches the machine. Its packages are small
ones, made here; only `hello` comes from a real mirror.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hostel import no_starts
from hostel.apply import apply, recover
from hostel.apt import Apt
from hostel.errors import HostelError, RolledBack
from hostel.journal import Journal
from hostel.ledger import Ledger
from hostel.machine import Machine, Ran
from hostel.owned_world import OwnedWorld
from hostel.plan import Change, Key, State, plan
from hostel.resources.package import Packages, PackagesState, installed_by, packages_key

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages"),
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs Debian or Ubuntu"),
]

SET = packages_key("server")
OWN_POLICY = "#!/bin/sh\n# the machine's own: everything may start\nexit 0\n"

UNIT = """\
[Unit]
Description=test
[Service]
ExecStart=/bin/sleep 1d
[Install]
WantedBy=multi-user.target
"""
INIT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides: {name}
# Required-Start: $remote_fs
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
[ "$1" != start ] || touch /started-{name}
"""
POSTINST = """\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
{before}
deb-systemd-helper unmask {name}.service >/dev/null || true
if deb-systemd-helper --quiet was-enabled {name}.service; then
    deb-systemd-helper enable {name}.service >/dev/null || true
else
    deb-systemd-helper update-state {name}.service >/dev/null || true
fi
update-rc.d {name} defaults >/dev/null
invoke-rc.d --skip-systemd-native {name} start || exit 1
"""
"""As debhelper makes it for a package with a service."""


class Copy(Machine):
    """This machine, but that its commands run in the copy of the system in `root`."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.ran: list[list[str]] = []

    def run(self, argv: Sequence[str], **how: Any) -> Ran:
        self.ran.append(list(argv))
        return super().run(["chroot", str(self.root), *argv], **how)


def build(
    folder: Path,
    name: str,
    *,
    depends: str = "",
    recommends: str = "",
    service: bool = True,
    do: str = "",
) -> str:
    """Make a package; returns its paragraph for the list of its repository."""
    tree = folder / name
    files: dict[str, tuple[str, int]] = {f"usr/share/{name}/file": ("x", 0o644)}
    if service:
        files[f"lib/systemd/system/{name}.service"] = (UNIT, 0o644)
        files[f"etc/init.d/{name}"] = (INIT.format(name=name), 0o755)
        files["DEBIAN/conffiles"] = (f"/etc/init.d/{name}\n", 0o644)
        files["DEBIAN/postinst"] = (POSTINST.format(name=name, before=do), 0o755)
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Test <a@example.com>\n"
    control += f"Depends: {depends}\n" if depends else ""
    control += f"Recommends: {recommends}\n" if recommends else ""
    control += "Description: test\n"
    files["DEBIAN/control"] = (control, 0o644)
    for path, (text, mode) in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
        (tree / path).chmod(mode)
    deb = folder / f"{name}.deb"
    argv = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(deb)]
    subprocess.run(argv, check=True, capture_output=True)
    digest = sha256(deb.read_bytes()).hexdigest()
    return f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"


def repository(folder: Path) -> None:
    folder.mkdir()
    listed = [
        build(folder, "hostel-t-daemon", depends="hostel-t-helper"),
        build(folder, "hostel-t-helper"),
        build(folder, "hostel-t-plain", service=False),
        build(folder, "hostel-t-user", depends="hostel-t-daemon", service=False),
        build(folder, "hostel-t-fan", recommends="hostel-t-plain", service=False),
        build(folder, "hostel-t-broken", do="echo it is broken >&2; exit 1"),
        build(folder, "hostel-t-slow", do="touch /waits; while [ ! -e /go ]; do sleep 0.1; done"),
        build(folder, "postgresql-t", service=False),
    ]
    (folder / "Packages").write_text("\n".join(listed))


def mounted(*argv: str) -> None:
    done = subprocess.run(["mount", *argv], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def bare() -> Iterator[Path]:
    """A copy of this system with its own package sources and no policy."""
    place = Path(tempfile.mkdtemp(prefix="hostel-copy-"))
    root = place / "root"
    try:
        mounted("-t", "tmpfs", "-o", "mode=755", "hostel-test", str(place))
        for name in ("upper", "work", "root"):
            (place / name).mkdir()
        layers = f"lowerdir=/,upperdir={place}/upper,workdir={place}/work"
        mounted("-t", "overlay", "-o", layers, "hostel-test", str(root))
        mounted("-t", "proc", "proc", str(root / "proc"))
        mounted("--bind", "/dev", str(root / "dev"))
        for name in ("policy-rc.d", "policy-rc.d.kept-by-hostel"):
            (root / "usr/sbin" / name).unlink(missing_ok=True)
        # Without a runlevel nothing is started, policy or not.
        (root / "sbin/runlevel").unlink(missing_ok=True)
        (root / "sbin/runlevel").write_text("#!/bin/sh\necho N 5\n")
        (root / "sbin/runlevel").chmod(0o755)
        yield root
    finally:
        for where in (root / "dev", root / "proc", root, place):
            subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)
        place.rmdir()


@pytest.fixture
def root(bare: Path) -> Path:
    """A copy whose only package source is the repository made here."""
    repository(bare / "repository")
    sources = bare / "etc/apt"
    shutil.rmtree(sources / "sources.list.d", ignore_errors=True)
    (sources / "sources.list").write_text("deb [trusted=yes] file:/repository ./\n")
    return bare


class Scene:
    """The packages of a server in a copy, with ledger and journal beside it."""

    def __init__(self, root: Path, tmp: Path, *names: str) -> None:
        self.root, self.tmp, self.names = root, tmp, names
        self.machine = Copy(root)
        self.apt = Apt(self.machine)
        self.journal = Journal(tmp / "journal", {"package": PackagesState})
        self.policy = root / "usr/sbin/policy-rc.d"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.tmp / "ledger.json", self.machine)

    def packages(self, ledger: Ledger | None = None) -> Packages:
        return Packages(ledger or self.ledger, {"server": self.names}, root=self.root)

    def world(self) -> OwnedWorld:
        ledger = self.ledger
        return OwnedWorld({"package": self.packages(ledger)}, self.machine, ledger)

    def wanted(self, *names: str) -> dict[Key, State]:
        return {SET: PackagesState(names=names)} if names else {}

    def go(self, *names: str, verify: Callable[[], None] = lambda: None) -> None:
        it = self.world()
        steps = plan(self.wanted(*names), {SET: it.observe(SET)})
        it.check(steps)
        apply(steps, it, self.journal, verify, lambda change: None)

    def install_by_hand(self, *names: str) -> None:
        for argv in (["update"], ["install", "-y", *names]):
            done = self.machine.run(["apt-get", "-q", *argv])
            assert done.ok, done.err

    def calls(self, word: str) -> list[list[str]]:
        return [argv for argv in self.machine.ran if argv[0] == "apt-get" and word in argv]

    def started(self) -> list[str]:
        return sorted(path.name.removeprefix("started-") for path in self.root.glob("started-*"))

    def enabled(self) -> list[str]:
        """What would start with the next boot, by systemd or as a script of old."""
        units = self.root.glob("etc/systemd/system/*.wants/*-t-*")
        scripts = self.root.glob("etc/rc[2345].d/S*-t-*")
        return sorted({path.name for path in (*units, *scripts)})

    def nothing_is_left(self) -> None:
        assert not self.packages().note.exists()
        assert not self.policy.with_name("policy-rc.d.kept-by-hostel").exists()
        assert b"hostel" not in (self.machine.read(self.policy) or b"")


@pytest.fixture
def scene(root: Path, tmp_path: Path) -> Callable[..., Scene]:
    return lambda *names: Scene(root, tmp_path, *names)


MakeScene = Callable[..., Scene]


def refuse() -> None:
    raise HostelError("asking the router", "it does not answer")


def test_the_packages_made_here_start_and_are_enabled_where_nobody_prevents_it(
    scene: MakeScene,
) -> None:
    """Else the tests below would show nothing."""
    it = scene()
    it.install_by_hand("hostel-t-daemon")
    assert it.started() == ["hostel-t-daemon", "hostel-t-helper"]
    assert "hostel-t-daemon.service" in it.enabled()
    assert any(name.startswith("S") for name in it.enabled())


def test_all_missing_packages_come_by_one_apt_and_nothing_of_them_starts(
    scene: MakeScene,
) -> None:
    it = scene("hostel-t-plain", "hostel-t-daemon", "coreutils")
    assert it.world().observe(SET) == PackagesState(names=("coreutils",))
    it.go(*it.names)
    assert it.world().observe(SET) == PackagesState(names=it.names)
    [call] = it.calls("install")
    assert call[-2:] == ["hostel-t-daemon", "hostel-t-plain"]
    assert "hostel-t-helper" in it.apt.installed(), "it was needed"
    assert it.started() == []
    assert it.enabled() == [], "nor does it with the next boot"
    it.nothing_is_left()
    assert not it.policy.exists()
    own = ("hostel-t-daemon", "hostel-t-helper", "hostel-t-plain")
    assert installed_by(it.ledger, {"server": ()}) == own
    it.go(*it.names)
    assert len(it.calls("install")) == 1
    assert it.ledger.drifted(SET, PackagesState(names=("coreutils",)))
    assert not it.ledger.drifted(SET, it.world().observe(SET))


def test_seeing_is_one_question_whatever_their_number(scene: MakeScene) -> None:
    it = scene("coreutils", "dpkg", "hostel-t-plain", "no-such-package-anywhere")
    assert it.world().observe(SET) == PackagesState(names=("coreutils", "dpkg"))
    assert len(it.machine.ran) == 1


def test_a_service_that_was_here_before_stays_enabled(scene: MakeScene) -> None:
    it = scene("hostel-t-plain", "hostel-t-daemon")
    it.install_by_hand("hostel-t-helper")
    before = it.enabled()
    it.go(*it.names)
    assert it.enabled() == before
    assert "hostel-t-helper.service" in before


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_policy_of_the_machines_own_comes_back_as_it_was(scene: MakeScene, kind: str) -> None:
    it = scene("hostel-t-daemon")
    real = it.root / "etc/own-policy" if kind == "link" else it.policy
    real.write_text(OWN_POLICY)
    real.chmod(0o754)
    if kind == "link":
        it.policy.symlink_to("/etc/own-policy")
    it.go(*it.names)
    assert it.started() == []
    assert it.policy.is_symlink() == (kind == "link")
    assert real.read_text() == OWN_POLICY
    assert real.stat().st_mode & 0o777 == 0o754
    it.nothing_is_left()


def test_a_package_that_breaks_is_told_in_dpkgs_words_and_all_is_as_it_was(
    scene: MakeScene,
) -> None:
    it = scene("hostel-t-plain", "hostel-t-broken")
    before = it.apt.everything()
    with pytest.raises(RolledBack, match="installing hostel-t-broken, hostel-t-plain") as caught:
        it.go(*it.names)
    assert "it is broken" in caught.value.detail
    assert "hostel-t-broken" in caught.value.detail
    assert "Mend what apt says" in caught.value.remedy
    assert it.started() == []
    assert "hostel-t-plain" not in it.apt.installed()
    assert it.apt.everything() == before
    it.nothing_is_left()


def test_a_package_that_does_not_exist_is_named_and_nothing_is_installed(
    scene: MakeScene,
) -> None:
    it = scene("hostel-t-plain", "hostel-t-missing")
    with pytest.raises(RolledBack, match="Unable to locate package hostel-t-missing") as caught:
        it.go(*it.names)
    assert "package sources" in caught.value.remedy
    assert it.world().observe(SET) is None
    it.nothing_is_left()


@pytest.mark.parametrize("name", ["hostel-t-plain-", "-y", "a b", "", "A", "coreutils/now"])
def test_what_is_no_name_of_a_package_is_never_given_to_apt(scene: MakeScene, name: str) -> None:
    it = scene(name)
    with pytest.raises(HostelError, match="no name of a package"):
        it.apt.install([name])
    with pytest.raises(HostelError, match="no name of a package"):
        it.apt.remove([name])
    assert not it.machine.ran


def test_postgresql_makes_no_cluster_by_itself(scene: MakeScene) -> None:
    it = scene("postgresql-t")
    conf = it.root / "etc/postgresql-common/createcluster.d/hostel.conf"
    conf.unlink(missing_ok=True)
    it.go(*it.names)
    assert "create_main_cluster = false" in conf.read_text()
    assert conf.stat().st_mode & 0o777 == 0o644


# -- removal --------------------------------------------------------------------------------


def test_only_what_hostel_installed_is_removed(scene: MakeScene) -> None:
    it = scene("hostel-t-plain", "hostel-t-helper", "hostel-t-daemon")
    it.install_by_hand("hostel-t-helper")
    it.go(*it.names)
    it.go("hostel-t-helper")
    assert it.world().observe(SET) == PackagesState(names=("hostel-t-helper",))
    assert installed_by(it.ledger, {"server": ()}) == ()
    with pytest.raises(HostelError):
        it.go()  # Nobody may plan that: it was here before.
    assert it.apt.installed(["hostel-t-helper"])


def test_a_failed_run_removes_what_it_installed_and_nothing_else(scene: MakeScene) -> None:
    it = scene("hostel-t-plain", "hostel-t-daemon")
    it.install_by_hand("hostel-t-plain")
    with pytest.raises(RolledBack, match="does not answer"):
        it.go(*it.names, verify=refuse)
    assert it.world().observe(SET) == PackagesState(names=("hostel-t-plain",))
    assert not it.apt.present(["hostel-t-daemon", "hostel-t-helper"])
    assert installed_by(it.ledger, {"server": ()}) == ()


def test_what_others_need_by_now_stays_and_is_told_beforehand(scene: MakeScene) -> None:
    it = scene("hostel-t-plain", "hostel-t-helper", "hostel-t-daemon")
    it.go(*it.names)
    it.install_by_hand("hostel-t-user")
    found = it.apt.removable(installed_by(it.ledger, {"server": ()}))
    assert found.names == ("hostel-t-plain",)
    assert found.needed == {
        "hostel-t-daemon": ("hostel-t-user",),
        "hostel-t-helper": ("hostel-t-user",),
    }
    with pytest.raises(HostelError, match="others would go with them: hostel-t-user"):
        it.apt.remove(["hostel-t-daemon"])
    it.packages().enact(Change(SET, PackagesState(names=it.names), None), it.machine)
    assert it.world().observe(SET) == PackagesState(names=("hostel-t-daemon", "hostel-t-helper"))
    assert it.apt.installed(["hostel-t-user"])


def test_what_only_hostels_own_packages_need_of_each_other_goes_together(
    scene: MakeScene,
) -> None:
    it = scene("hostel-t-helper", "hostel-t-daemon", "hostel-t-user")
    it.go(*it.names)
    assert it.apt.removable(it.names).names == tuple(sorted(it.names))
    it.go()
    assert it.world().observe(SET) is None
    assert not it.ledger.digests


def test_what_came_along_goes_along(scene: MakeScene) -> None:
    it = scene("hostel-t-daemon")
    before = it.apt.everything()
    it.go(*it.names)
    it.go()
    assert it.apt.everything() == before
    assert not it.ledger.digests


def test_what_came_along_stays_where_somebody_asked_for_it(scene: MakeScene) -> None:
    it = scene("hostel-t-daemon")
    it.go(*it.names)
    it.install_by_hand("hostel-t-helper")
    it.go()
    assert it.apt.installed(["hostel-t-daemon", "hostel-t-helper"]) == {"hostel-t-helper"}


def test_what_others_recommend_by_now_stays(scene: MakeScene) -> None:
    it = scene("hostel-t-daemon", "hostel-t-plain")
    it.go(*it.names)
    it.install_by_hand("hostel-t-fan")
    change = Change(SET, PackagesState(names=it.names), None)
    it.packages().enact(change, it.machine)
    assert it.world().observe(SET) == PackagesState(names=("hostel-t-plain",))
    assert installed_by(it.ledger, {"server": ()}) == ()


def test_configuration_goes_with_its_package_unless_somebody_changed_it(scene: MakeScene) -> None:
    it = scene("hostel-t-daemon", "hostel-t-slow")
    (it.root / "go").touch()
    it.go(*it.names)
    mine, other = (it.root / "etc/init.d" / name for name in it.names)
    mine.write_text("#!/bin/sh\n# changed\n")
    it.go()
    assert mine.read_text() == "#!/bin/sh\n# changed\n"
    assert not other.exists()


# -- kills and neighbours -------------------------------------------------------------------


def waited_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def killed_while_installing(it: Scene) -> None:
    """A run that is killed when the slow package waits; its dpkg waits on."""
    child = os.fork()
    if child == 0:
        try:
            it.go(*it.names)
        finally:
            os._exit(1)
    try:
        waited_for((it.root / "waits").exists)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("policy", ["", OWN_POLICY], ids=["without", "with"])
def test_after_a_kill_nothing_starts_and_the_next_run_ends_it(
    scene: MakeScene, policy: str
) -> None:
    it = scene("hostel-t-slow", "hostel-t-daemon")
    if policy:
        it.policy.write_text(policy)
        it.policy.chmod(0o755)
    killed_while_installing(it)
    assert it.packages().note.exists()
    assert no_starts.is_left(it.machine, it.policy.parent)
    # What was killed goes on by itself while the next run begins.
    timer = threading.Timer(3, (it.root / "go").touch)
    timer.start()
    it.packages().tidy(it.machine)
    timer.join()
    assert it.started() == []
    assert it.enabled() == []
    it.nothing_is_left()
    assert (it.policy.read_text() if it.policy.exists() else "") == policy
    recover(it.world(), it.journal)
    assert it.world().observe(SET) is None
    it.go(*it.names)
    assert it.world().observe(SET) == PackagesState(names=it.names)
    assert it.started() == []
    assert it.enabled() == []


def test_a_killed_run_is_undone_without_being_tidied_before(scene: MakeScene) -> None:
    it = scene("hostel-t-slow", "hostel-t-daemon")
    killed_while_installing(it)
    (it.root / "go").touch()
    recover(it.world(), it.journal)
    it.packages().tidy(it.machine)
    assert it.world().observe(SET) is None
    assert it.started() == []
    it.nothing_is_left()


def test_another_installation_is_waited_for(scene: MakeScene) -> None:
    it = scene("hostel-t-plain")
    assert it.machine.run(["apt-get", "-q", "update"]).ok
    argv = ["chroot", str(it.root), "apt-get", "install", "-y", "hostel-t-slow"]
    other = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        waited_for((it.root / "waits").exists)
        threading.Timer(3, (it.root / "go").touch).start()
        it.go(*it.names)
    finally:
        (it.root / "go").touch()
        other.wait()
    assert it.apt.installed(["hostel-t-plain", "hostel-t-slow"]) == {
        "hostel-t-plain",
        "hostel-t-slow",
    }


# -- the policy alone -----------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False])
def test_the_policy_is_right_wherever_its_making_or_going_is_killed(
    tmp_path: Path, own: bool
) -> None:
    policy, machine = tmp_path / "policy-rc.d", Machine()

    def killed(point: int) -> bool:
        child = os.fork()
        if child == 0:
            import itertools
            import sys

            count = itertools.count()

            def hook(event: str, args: tuple[object, ...]) -> None:
                if event.startswith(("open", "os.", "tempfile.")) and next(count) == point:
                    os._exit(9)

            sys.addaudithook(hook)
            with no_starts.nothing_starts(machine, tmp_path):
                pass
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

    for point in range(1000):
        for path in tmp_path.iterdir():
            path.unlink()
        if own:
            policy.write_text(OWN_POLICY)
        more = killed(point)
        if own:
            assert policy.exists(), "there is always one of the two"
        no_starts.restore(machine, tmp_path)
        assert not no_starts.is_left(machine, tmp_path)
        assert (policy.read_text() if policy.exists() else "") == (OWN_POLICY if own else "")
        if not more:
            assert point > 5
            return


def test_a_policy_that_came_meanwhile_is_not_replaced_by_the_old_one(tmp_path: Path) -> None:
    policy, machine = tmp_path / "policy-rc.d", Machine()
    policy.write_text(OWN_POLICY)
    with no_starts.nothing_starts(machine, tmp_path):
        assert subprocess.run([policy], check=False).returncode == 101
        policy.unlink()
        policy.write_text("#!/bin/sh\n# newer\n")
    assert policy.read_text() == "#!/bin/sh\n# newer\n"
    assert [path.name for path in tmp_path.iterdir()] == ["policy-rc.d"]


# -- a real package -------------------------------------------------------------------------


def test_a_package_of_debian_comes_and_goes(bare: Path, tmp_path: Path) -> None:
    """From this machine's own mirror, where it can be reached."""
    it = Scene(bare, tmp_path, "hello")
    if it.apt.installed(["hello"]):
        pytest.skip("hello is installed here")
    names = bare / "etc/resolv.conf"
    with contextlib.suppress(OSError):
        text = Path("/etc/resolv.conf").read_text()
        names.unlink(missing_ok=True)
        names.write_text(text)
    seen: Mapping[str, str] = dict(os.environ)
    asked = it.machine.run(["apt-get", "-qq", "update"], env=seen)
    if not asked.ok or not it.machine.run(["apt-cache", "show", "hello"]).ok:
        pytest.skip(f"no mirror: {asked.tail}")
    it.go("hello")
    assert it.machine.run(["hello"]).out == "Hello, world!\n"
    it.go()
    assert it.machine.run(["hello"]).code != 0
    assert not it.ledger.digests
