"""A site's user, as the real user database of this machine has it."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel.errors import HostelError, RolledBack
from hostel.journal import Journal
from hostel.ledger import Ledger
from hostel.machine import Machine
from hostel.owned_world import OwnedWorld
from hostel.plan import Change, Key, State, plan
from hostel.resources.file import Files
from hostel.resources.folder import Folders, FolderState, folder_key
from hostel.resources.user import Users, UserState, processes_of, user_key
from hostel.states import FileState, file_key
from hostel.unix_names import user_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")


def gone(name: str) -> None:
    """Whatever a failed test left of it."""
    for argv in (["userdel", name], ["groupdel", name]):
        subprocess.run(argv, check=False, capture_output=True)


@pytest.fixture
def name() -> Iterator[str]:
    name = f"hostel-t{secrets.token_hex(4)}"
    yield name
    gone(name)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def make(name: str, machine: Machine, home: str = "/nonexistent") -> UserState:
    state = UserState.of(name, home)
    Users().enact(Change(user_key(name), None, state), machine)
    return state


def test_a_user_is_made_seen_made_again_and_removed(name: str, machine: Machine) -> None:
    users, which = Users(), user_key(name)
    assert users.observe(which, machine) is None
    change = Change(which, None, UserState.of(name, "/srv/hostel/x/data", ("adm",)))
    for _ in range(2):
        users.enact(change, machine)
        assert users.observe(which, machine) == change.after
    entry = pwd.getpwnam(name)
    assert entry.pw_uid < 1000, "a system user: none that can be chosen to sign in"
    assert entry.pw_shell == "/usr/sbin/nologin"
    assert grp.getgrgid(entry.pw_gid).gr_name == name
    shadow = Path("/etc/shadow").read_text()
    [line] = [line for line in shadow.splitlines() if line.startswith(f"{name}:")]
    assert line.split(":")[1].startswith(("!", "*")), "no password opens it"
    assert not Path("/srv/hostel/x/data").exists()
    for _ in range(2):
        users.enact(change.reverse, machine)
        assert users.observe(which, machine) is None
    assert not [one for one in grp.getgrall() if name in (one.gr_name, *one.gr_mem)]


def test_the_longest_site_name_makes_a_user_that_the_system_takes(machine: Machine) -> None:
    name = user_of(f"t{secrets.token_hex(15)}")
    assert len(name) == 32
    try:
        assert Users().observe(user_key(name), machine) is None
        state = make(name, machine)
        assert Users().observe(user_key(name), machine) == state
    finally:
        gone(name)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda name: ["usermod", "--shell", "/bin/sh", name],
        lambda name: ["usermod", "--home", "/root", name],
        lambda name: ["usermod", "--append", "--groups", "adm", name],
        lambda name: ["usermod", "--gid", "nogroup", name],
    ],
)
def test_what_was_changed_by_hand_is_seen_and_put_right(
    name: str, machine: Machine, spoil: Callable[[str], list[str]]
) -> None:
    users, which, state = Users(), user_key(name), make(name, machine)
    subprocess.run(spoil(name), check=True)
    seen = users.observe(which, machine)
    assert seen not in (state, None)
    users.enact(Change(which, seen, state), machine)
    assert users.observe(which, machine) == state


def test_half_of_a_user_is_completed_or_removed(name: str, machine: Machine) -> None:
    """As a killed useradd or userdel leaves it."""
    users, which = Users(), user_key(name)
    subprocess.run(["groupadd", "--system", name], check=True)
    half = users.observe(which, machine)
    assert half is not None
    state = UserState.of(name, "/nonexistent")
    users.enact(Change(which, half, state), machine)
    assert users.observe(which, machine) == state
    subprocess.run(["userdel", name], check=True)
    subprocess.run(["groupadd", "--system", name], check=True)
    users.enact(Change(which, users.observe(which, machine), None), machine)
    assert users.observe(which, machine) is None
    with pytest.raises(KeyError):
        grp.getgrnam(name)


def test_a_group_that_is_gone_comes_back_with_its_number(name: str, machine: Machine) -> None:
    users, which, state = Users(), user_key(name), make(name, machine)
    number = pwd.getpwnam(name).pw_gid
    path = Path("/etc/group")
    subprocess.run(["groupmod", "--new-name", f"{name}x", name], check=True)
    try:
        subprocess.run(["usermod", "--gid", "nogroup", name], check=True)
        subprocess.run(["groupdel", f"{name}x"], check=True)
    finally:
        gone(f"{name}x")
    assert f"\n{name}:" not in path.read_text()
    subprocess.run(["usermod", "--gid", "nogroup", name], check=True)
    users.enact(Change(which, users.observe(which, machine), state), machine)
    assert users.observe(which, machine) == state
    assert number


def test_a_group_of_that_name_with_others_in_it_is_refused(name: str, machine: Machine) -> None:
    subprocess.run(["groupadd", "--system", name], check=True)
    subprocess.run(["usermod", "--append", "--groups", name, "nobody"], check=True)
    try:
        with pytest.raises(HostelError, match="nobody") as caught:
            make(name, machine)
        assert name in caught.value.remedy
        with pytest.raises(KeyError):
            pwd.getpwnam(name)
        with pytest.raises(HostelError, match="nobody"):
            Users().enact(Change(user_key(name), UserState.of(name, "/"), None), machine)
    finally:
        subprocess.run(["gpasswd", "--delete", "nobody", name], check=False, capture_output=True)


def test_a_user_is_not_removed_while_it_runs_something_which_is_named(
    name: str, machine: Machine
) -> None:
    state = make(name, machine)
    sleep = subprocess.Popen(["sleep", "600"], user=name, group=name, extra_groups=[])
    remove = Change(user_key(name), state, None)
    try:
        with pytest.raises(HostelError, match=rf"sleep \(pid {sleep.pid}\)") as caught:
            Users().enact(remove, machine)
        assert "Stop them" in caught.value.remedy
        assert Users().observe(user_key(name), machine) == state
    finally:
        sleep.kill()
        # Not waited for yet: a zombie runs no more.
        os.waitid(os.P_PID, sleep.pid, os.WEXITED | os.WNOWAIT)
        assert processes_of(pwd.getpwnam(name).pw_uid) == []
        sleep.wait()
    Users().enact(remove, machine)
    assert Users().observe(user_key(name), machine) is None


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Path]:
    """A root folder of its own, in which programs of this machine run."""
    tmp_path.chmod(0o755)
    (tmp_path / "usr").mkdir()
    mount = ["mount", "--bind", "/usr", str(tmp_path / "usr")]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        for name in ("bin", "lib", "lib64"):
            (tmp_path / name).symlink_to(f"usr/{name}")
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path / "usr")], check=True)


def test_a_process_of_a_container_that_has_the_same_number_is_no_reason_to_keep_a_user(
    name: str, machine: Machine, container: Path
) -> None:
    state = make(name, machine)
    number = pwd.getpwnam(name).pw_uid
    argv = ["chroot", f"--userspec={number}:{number}", str(container), "sleep", "600"]
    sleep = subprocess.Popen(argv)
    try:
        end = time.monotonic() + 60
        while Path(f"/proc/{sleep.pid}").stat().st_uid != number:
            assert time.monotonic() < end
            time.sleep(0.05)
        Users().enact(Change(user_key(name), state, None), machine)
        assert Users().observe(user_key(name), machine) is None
        assert sleep.poll() is None
    finally:
        sleep.kill()
        sleep.wait()


@pytest.mark.parametrize("other", ["root", "www-data", "hostel", "hostel-A", "-hostel-x", "../x"])
def test_no_other_user_is_ever_touched(machine: Machine, other: str) -> None:
    state = UserState.of(other, "/")
    for change in (Change(user_key(other), None, state), Change(user_key(other), state, None)):
        with pytest.raises(HostelError, match="no user that Hostel may make"):
            Users().enact(change, machine)


def test_a_refusal_of_useradd_is_told_in_its_own_words(name: str, machine: Machine) -> None:
    state = UserState.of(name, "/nonexistent", ("hostel-no-such-group",))
    with pytest.raises(HostelError, match="hostel-no-such-group"):
        Users().enact(Change(user_key(name), None, state), machine)


def test_a_locked_user_database_is_waited_for(
    name: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hostel.resources import user

    lock = Path("/etc/group.lock")
    if lock.exists():
        pytest.skip("somebody else has the lock")
    waits, sleep = list[float](), time.sleep

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            lock.unlink()
        else:  # Somebody else's lock.
            sleep(seconds)

    # As groupadd writes it, with the number of a process that lives: ours.
    lock.write_text(f"{os.getpid()}\0")
    try:
        monkeypatch.setattr(user.time, "sleep", wait)
        state = make(name, machine)
    finally:
        if not waits:
            lock.unlink()
    assert waits, "it was locked"
    assert Users().observe(user_key(name), machine) == state


# -- with the ledger ------------------------------------------------------------------------

KINDS: dict[str, type[State]] = {"file": FileState, "folder": FolderState, "user": UserState}


def world(root: Path) -> OwnedWorld:
    kinds = {"user": Users(), "file": Files(root), "folder": Folders(root)}
    return OwnedWorld(kinds, Machine(), Ledger(root / "ledger", Machine()))


def site(name: str, root: Path) -> dict[Key, State]:
    """A user, a folder of its group and a file in it, planned before there is a user."""
    user, folder = user_key(name), folder_key(root / "site")
    conf = FileState.of(b"x", mode=0o440, owner=f"root:{name}")
    return {
        file_key(root / "site" / "conf"): FileState(**vars(conf) | {"needs": (folder, user)}),
        folder: FolderState(mode=0o750, owner=f"root:{name}", needs=(user,)),
        user: UserState.of(name, str(root)),
    }


def go(states: dict[Key, State], root: Path, verify: Callable[[], None] = lambda: None) -> None:
    from hostel.apply import apply

    it = world(root)
    keys = [*states, *it.ledger.digests]
    steps = plan(states, {which: it.observe(which) for which in keys})
    it.check(steps)
    journal = Journal(root / "journal", KINDS)
    apply(steps, it, journal, verify, lambda change: None)


def test_files_of_a_user_can_be_planned_before_it_exists_and_go_before_it(
    name: str, tmp_path: Path
) -> None:
    states = site(name, tmp_path)

    def refuse() -> None:
        raise HostelError("asking", "no answer")

    with pytest.raises(RolledBack):
        go(states, tmp_path, refuse)
    assert Users().observe(user_key(name), Machine()) is None
    assert not (tmp_path / "site").exists()
    go(states, tmp_path)
    it = world(tmp_path)
    assert {which: it.observe(which) for which in states} == states
    read = ["cat", str(tmp_path / "site" / "conf")]
    for above in (tmp_path, *tmp_path.parents):
        if not above.stat().st_mode & 0o001:
            break
    else:
        done = subprocess.run(read, user=name, group=name, extra_groups=[], capture_output=True)
        assert done.stdout == b"x"
    go({}, tmp_path)
    assert Users().observe(user_key(name), Machine()) is None
    assert not (tmp_path / "site").exists()
    assert not world(tmp_path).ledger.digests


def test_a_user_that_hostel_did_not_make_is_neither_changed_nor_removed(
    name: str, tmp_path: Path
) -> None:
    subprocess.run(["useradd", "--system", "--user-group", "--shell", "/bin/sh", name], check=True)
    before = Users().observe(user_key(name), Machine())
    with pytest.raises(HostelError, match=f"user {name}: it was here already"):
        go(site(name, tmp_path), tmp_path)
    assert Users().observe(user_key(name), Machine()) == before
    assert not (tmp_path / "site").exists(), "nothing at all was done"


def test_a_user_that_is_as_wanted_already_is_used_and_stays(name: str, tmp_path: Path) -> None:
    make(name, Machine(), str(tmp_path))
    go(site(name, tmp_path), tmp_path)
    assert (tmp_path / "site" / "conf").exists()
    go({}, tmp_path)
    assert not (tmp_path / "site").exists()
    with contextlib.suppress(KeyError):
        assert pwd.getpwnam(name)
        return
    pytest.fail("the user is gone")
