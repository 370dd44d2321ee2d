"""Each kind keeps its promise: what was enacted is observed, again and again, and back."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, key
from hostel.platforms.private import machine_here
from hostel.resources.file import Files
from hostel.resources.once import Once
from hostel.states import Done, FileState, file_key

SOMETHING = Path("sub/dir/file with 'ünusual' ${name}")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def machine() -> Machine:
    return machine_here()


def wanted(machine: Machine, content: bytes = b"content", mode: int = 0o444) -> FileState:
    return FileState.of(content, mode=mode, owner=machine.runner)


def test_a_file_is_made_seen_made_again_and_removed(tmp_path: Path, machine: Machine) -> None:
    files, which = Files(Path("/")), file_key(tmp_path / SOMETHING)
    assert files.observe(which, machine) is None
    change = Change(which, None, wanted(machine))
    for _ in range(2):
        files.enact(change, machine)
        assert files.observe(which, machine) == change.after
    for _ in range(2):
        files.enact(change.reverse, machine)
        assert files.observe(which, machine) is None


@pytest.mark.parametrize(
    "name", [os.fsdecode(b"not\xffutf8"), "new\nline", "-rf", "a:b", "ä" * 100]
)
def test_a_file_of_any_name_is_found_again(tmp_path: Path, machine: Machine, name: str) -> None:
    files, which = Files(Path("/")), file_key(tmp_path / name)
    files.enact(Change(which, None, wanted(machine)), machine)
    assert files.observe(which, machine) == wanted(machine)


def test_another_content_mode_or_owner_is_another_state_and_is_put_right(
    tmp_path: Path, machine: Machine
) -> None:
    files, path = Files(Path("/")), tmp_path / "file"
    which, good = file_key(path), wanted(machine)
    for spoil in (lambda: path.write_bytes(b"x"), lambda: path.chmod(0o666), lambda: give(path)):
        files.enact(Change(which, None, good), machine)
        path.chmod(0o644)
        files.enact(Change(which, files.observe(which, machine), good), machine)
        assert files.observe(which, machine) == good
        if os.geteuid() != 0:
            path.chmod(0o644)
        spoil()
        seen = files.observe(which, machine)
        assert seen != good
        files.enact(Change(which, seen, good), machine)
        assert files.observe(which, machine) == good


def give(path: Path) -> None:
    """To another owner where that can be; else another mode has to do."""
    if os.geteuid() == 0:
        os.chown(path, 4242, 4242)
    else:
        path.chmod(0o600)


@root_only
def test_a_file_belongs_to_the_runner_or_to_root_as_its_state_says(
    tmp_path: Path, machine: Machine
) -> None:
    for owner in (machine.runner, machine.me):
        path = tmp_path / owner.name
        state = FileState.of(b"x", mode=0o400, owner=owner)
        Files(Path("/")).enact(Change(file_key(path), None, state), machine)
        assert (path.stat().st_uid, path.stat().st_gid) == (owner.uid, owner.gid)


@root_only
def test_a_files_group_may_be_another_than_its_owners_own_and_is_seen_by_name(
    tmp_path: Path, machine: Machine
) -> None:
    path, group = tmp_path / "file", machine.runner.owner.partition(":")[2]
    files, state = Files(tmp_path), FileState.of(b"x", mode=0o440, owner=f"root:{group}")
    files.enact(Change(file_key(path), None, state), machine)
    assert files.observe(file_key(path), machine) == state
    assert (path.stat().st_uid, path.stat().st_gid) == (0, machine.runner.gid)
    for other in (f"{group}:root", "4242:4343"):
        moved = FileState.of(b"x", mode=0o440, owner=other)
        files.enact(Change(file_key(path), state, moved), machine)
        assert files.observe(file_key(path), machine) == moved
    assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4343)


@root_only
@pytest.mark.parametrize("owner", ["hostel-nobody-has-this:root", "root:hostel-nobody-has-this"])
def test_a_file_for_somebody_who_is_not_there_is_refused_with_the_name(
    tmp_path: Path, machine: Machine, owner: str
) -> None:
    path = tmp_path / "file"
    state = FileState.of(b"x", mode=0o440, owner=owner)
    with pytest.raises(HostelError, match="hostel-nobody-has-this"):
        Files(tmp_path).enact(Change(file_key(path), None, state), machine)
    assert not list(tmp_path.iterdir())


def test_files_lie_in_one_of_several_folders_and_nowhere_else(
    tmp_path: Path, machine: Machine
) -> None:
    files = Files(tmp_path / "a", tmp_path / "b")
    for name in ("a/file", "b/sub/file"):
        files.enact(Change(file_key(tmp_path / name), None, wanted(machine)), machine)
        assert (tmp_path / name).read_bytes() == b"content"
    for name in ("c/file", "a/../c/file", "ab"):
        with pytest.raises(HostelError, match="not inside"):
            files.enact(Change(file_key(tmp_path / name), None, wanted(machine)), machine)
        assert not (tmp_path / "c").exists()


def test_a_reader_sees_the_old_file_or_the_new_and_nothing_between(
    tmp_path: Path, machine: Machine
) -> None:
    files, path = Files(Path("/")), tmp_path / "file"
    which, kinds = file_key(path), [bytes([65 + number]) * 300_000 for number in range(2)]
    files.enact(Change(which, None, wanted(machine, kinds[0], 0o600)), machine)
    seen, modes, ends = set[bytes](), set[int](), threading.Event()

    def read() -> None:
        while not ends.is_set():
            with path.open("rb") as file:
                modes.add(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
                seen.add(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        content = kinds[number % 2]
        files.enact(Change(which, None, wanted(machine, content, 0o600)), machine)
    ends.set()
    reader.join()
    assert seen <= set(kinds)
    assert modes == {0o600}


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(
    tmp_path: Path, machine: Machine
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("precious")
    path.symlink_to(victim)
    Files(Path("/")).enact(Change(file_key(path), None, wanted(machine)), machine)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    path.unlink()
    path.symlink_to(victim)
    Files(Path("/")).enact(Change(file_key(path), wanted(machine), None), machine)
    assert victim.read_text() == "precious"


# -- disks that refuse ----------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place = Path(tempfile.mkdtemp(prefix="hostel-disk-"))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "hostel-test", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        place.rmdir()
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)
    place.rmdir()


@pytest.mark.system
def test_a_full_disk_leaves_the_old_file_and_says_what_to_do(
    small_disk: Path, machine: Machine
) -> None:
    path = small_disk / "file"
    files, which, old = Files(Path("/")), file_key(path), wanted(machine, b"old")
    files.enact(Change(which, None, old), machine)
    with pytest.raises(HostelError, match="No space left") as caught:
        files.enact(Change(which, old, wanted(machine, b"x" * 3_000_000)), machine)
    assert "Free some space" in caught.value.remedy
    assert files.observe(which, machine) == old
    assert list(small_disk.iterdir()) == [path]


@pytest.mark.system
def test_a_read_only_disk_is_named_and_leaves_the_old_file(
    small_disk: Path, machine: Machine
) -> None:
    path = small_disk / "file"
    files, which, old = Files(Path("/")), file_key(path), wanted(machine, b"old")
    files.enact(Change(which, None, old), machine)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(HostelError, match="Read-only") as caught:
        files.enact(Change(which, old, wanted(machine)), machine)
    assert "--dir" in caught.value.remedy
    with pytest.raises(HostelError, match="removing"):
        files.enact(Change(which, old, None), machine)
    assert files.observe(which, machine) == old


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_one_may_not_write_to_is_named_and_leaves_the_old_file(
    tmp_path: Path, machine: Machine
) -> None:
    path = tmp_path / "file"
    files, which, old = Files(Path("/")), file_key(path), wanted(machine, b"old")
    files.enact(Change(which, None, old), machine)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(HostelError, match="Permission denied"):
            files.enact(Change(which, old, wanted(machine)), machine)
        assert files.observe(which, machine) == old
    finally:
        tmp_path.chmod(0o755)


# -- once -----------------------------------------------------------------------------------


def test_what_is_done_once_is_remembered_by_its_input_and_forgotten_by_undo(
    tmp_path: Path, machine: Machine
) -> None:
    ran: list[str] = []
    once, which = Once(tmp_path, {"hook": lambda: ran.append("hook")}), key("once", "hook")
    assert once.observe(which, machine) is None
    change = Change(which, None, Done(digest="one"))
    once.enact(change, machine)
    assert once.observe(which, machine) == Done(digest="one")
    for _ in range(2):
        once.enact(change.reverse, machine)
        assert once.observe(which, machine) is None
    assert ran == ["hook"], "undo runs nothing"


def test_what_failed_is_not_remembered_as_done(tmp_path: Path, machine: Machine) -> None:
    def fails() -> None:
        raise HostelError("running the hook", "exit code 1")

    once, which = Once(tmp_path, {"hook": fails}), key("once", "hook")
    with pytest.raises(HostelError, match="exit code 1"):
        once.enact(Change(which, None, Done(digest="one")), machine)
    assert once.observe(which, machine) is None


def test_undoing_what_was_done_once_remembers_the_time_before_and_does_nothing(
    tmp_path: Path,
) -> None:
    done: list[str] = []
    once = Once(tmp_path, {"check": lambda: done.append("ran")})
    which = key("once", "check")
    once.enact(Change(which, None, Done(digest="new")), Machine())
    once.recall(which, Done(digest="old"), Machine())
    assert once.observe(which, Machine()) == Done(digest="old")
    once.recall(which, None, Machine())
    assert once.observe(which, Machine()) is None
    assert done == ["ran"]
