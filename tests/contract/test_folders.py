"""Folders have the mode and owner that were asked for, and root follows nobody's link."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change
from hostel.resources.folder import Folders, FolderState, folder_key

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = "nobody:nogroup"


@pytest.fixture
def machine() -> Machine:
    return Machine()


def wanted(machine: Machine, mode: int = 0o750, owner: str = "") -> FolderState:
    return FolderState(mode=mode, owner=owner or machine.me.owner)


def make(path: Path, machine: Machine, state: FolderState) -> None:
    """As the engine does: from what is seen, and seen again."""
    folders, which = Folders(path.parents[-3]), folder_key(path)
    folders.enact(Change(which, folders.observe(which, machine), state), machine)
    assert folders.observe(which, machine) == state


def test_a_folder_is_made_seen_made_again_and_removed(tmp_path: Path, machine: Machine) -> None:
    folders, which = Folders(tmp_path), folder_key(tmp_path / "a folder with 'ünusual' ${name}")
    assert folders.observe(which, machine) is None
    old = os.umask(0o077)
    try:
        for mode in (0o755, 0o750, 0o700, 0o2770):
            change = Change(which, None, wanted(machine, mode))
            for _ in range(2):
                folders.enact(change, machine)
                assert folders.observe(which, machine) == change.after
    finally:
        os.umask(old)
    for _ in range(2):
        folders.enact(change.reverse, machine)
        assert folders.observe(which, machine) is None


@root_only
def test_its_owner_and_group_are_as_said_and_put_right(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "a"
    for owner in (f"root:{NOBODY.partition(':')[2]}", NOBODY, "4242:4343"):
        make(path, machine, wanted(machine, 0o750, owner))
    assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4343)
    with pytest.raises(HostelError, match="hostel-nobody-has-this"):
        make(tmp_path / "b", machine, wanted(machine, 0o750, "root:hostel-nobody-has-this"))
    assert not (tmp_path / "b").exists()


def test_parents_are_not_made_in_passing(tmp_path: Path, machine: Machine) -> None:
    with pytest.raises(HostelError, match="there is no folder"):
        make(tmp_path / "a" / "b", machine, wanted(machine))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/", "/srv", "/elsewhere/x", "{}/../y", "{}x", "relative/x/y"])
def test_nothing_is_done_outside_the_folders_that_were_named(
    tmp_path: Path, machine: Machine, path: str
) -> None:
    folders = Folders(tmp_path / "in", Path("/srv"))
    place = Path(path.format(tmp_path / "in"))
    state = wanted(machine)
    for change in (
        Change(folder_key(place), None, state),
        Change(folder_key(place), FolderState(mode=0, owner="", whole=True), None),
    ):
        with pytest.raises(HostelError, match="not inside"):
            folders.enact(change, machine)


# -- removal --------------------------------------------------------------------------------


def test_a_folder_with_something_in_it_stays_and_says_what(
    tmp_path: Path, machine: Machine
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    for number in range(7):
        (path / f"file{number}").write_text("precious")
    remove = Change(folder_key(path), wanted(machine), None)
    with pytest.raises(HostelError, match=r"file0, file1, .* and 2 more") as caught:
        Folders(tmp_path).enact(remove, machine)
    assert "Move it away" in caught.value.remedy
    assert len(list(path.iterdir())) == 7


def test_what_a_kill_left_half_written_is_no_reason_to_stay(
    tmp_path: Path, machine: Machine
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / ".hostel-x1").write_text("half")
    Folders(tmp_path).enact(Change(folder_key(path), wanted(machine), None), machine)
    assert not path.exists()


def test_a_folder_that_is_all_hostels_goes_with_everything_but_not_behind_its_links(
    tmp_path: Path, machine: Machine
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "site"
    victim.mkdir()
    (victim / "file").write_text("precious")
    (path / "deep" / "er").mkdir(parents=True)
    (path / "deep" / "file").write_text("x")
    (path / "link").symlink_to(victim)
    (path / "deep" / "link").symlink_to(victim / "file")
    folders = Folders(tmp_path, whole=lambda it: it == path)
    seen = folders.observe(folder_key(path), machine)
    assert seen is not None
    assert seen.whole
    folders.enact(Change(folder_key(path), seen, None), machine)
    assert not path.exists()
    assert (victim / "file").read_text() == "precious"


@root_only
def test_what_is_mounted_below_it_is_never_removed(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "site"
    disk = path / "a disk ü"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "hostel-test", str(disk)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    remove = Change(folder_key(path), FolderState(mode=0, owner="", whole=True), None)
    try:
        (disk / "file").write_text("precious")
        with pytest.raises(HostelError, match="mounted at") as caught:
            Folders(tmp_path).enact(remove, machine)
        assert str(disk) in caught.value.remedy
        assert (disk / "file").read_text() == "precious"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    Folders(tmp_path).enact(remove, machine)
    assert not path.exists()


# -- links ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_folder_is_seen_as_such_and_neither_followed_nor_removed(
    tmp_path: Path, machine: Machine, kind: str
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a"
    victim.mkdir(0o700)
    path.symlink_to(victim) if kind == "link" else path.write_text("precious")
    folders, which = Folders(tmp_path), folder_key(path)
    seen = folders.observe(which, machine)
    assert seen is not None
    assert seen.is_a == kind
    for after in (wanted(machine, 0o777), None):
        with pytest.raises(HostelError, match=f"there is a {kind} in its place"):
            folders.enact(Change(which, seen, after), machine)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o700
    assert path.is_symlink() or path.read_text() == "precious"


@root_only
def test_a_link_above_it_that_a_sites_user_may_have_made_is_not_followed(
    tmp_path: Path, machine: Machine
) -> None:
    victim, data = tmp_path / "victim", tmp_path / "data"
    victim.mkdir(0o700)
    (victim / "media").mkdir(0o700)
    data.mkdir()
    os.chown(data, 65534, 65534)
    (data / "x").symlink_to(victim)
    place = data / "x" / "media"
    whole = FolderState(mode=0o777, owner=NOBODY, whole=True)
    for link_owner in (65534, 0):  # In a folder of its own it may also move root's links about.
        os.lchown(data / "x", link_owner, link_owner)
        for change in (
            Change(folder_key(place), None, whole),
            Change(folder_key(place), whole, None),
        ):
            with pytest.raises(HostelError, match="link that others may have put there"):
                Folders(tmp_path).enact(change, machine)
    assert stat.S_IMODE((victim / "media").stat().st_mode) == 0o700
    assert (victim / "media").stat().st_uid == 0


def test_a_link_of_ones_own_above_it_is_followed_as_on_a_disk_moved_elsewhere(
    tmp_path: Path, machine: Machine
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "srv").symlink_to(disk)
    (tmp_path / "relative").symlink_to("./srv/../disk")
    for above in ("srv", "relative"):
        make(tmp_path / above / "site", machine, wanted(machine))
        assert (disk / "site").is_dir()
        (disk / "site").rmdir()


def test_links_in_a_circle_are_told_not_followed_for_ever(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(HostelError):
        Folders(tmp_path).enact(
            Change(folder_key(tmp_path / "a" / "x"), None, wanted(machine)), machine
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may make folders anywhere")
def test_where_one_may_not_write_is_told(tmp_path: Path, machine: Machine) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(HostelError, match="Permission denied"):
            make(tmp_path / "a", machine, wanted(machine))
    finally:
        tmp_path.chmod(0o755)


def test_no_descriptor_is_left_open(tmp_path: Path, machine: Machine) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    folders, which = Folders(tmp_path), folder_key(tmp_path / "a")
    change, before = Change(which, None, wanted(machine)), descriptors()
    missing = Change(folder_key(tmp_path / "no" / "such"), None, wanted(machine))
    for _ in range(5):
        folders.enact(change, machine)
        folders.enact(change.reverse, machine)
        with pytest.raises(HostelError):
            folders.enact(missing, machine)
    assert descriptors() == before
