"""The one way to the outside world: whole files, plain exit codes, closed doors named."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.account import Account
from hostel.errors import HostelError
from hostel.machine import Machine

SOMEBODY = Account("somebody", 54321, 54321, Path("/nowhere"))


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("mode", [0o400, 0o444, 0o600, 0o640, 0o755])
def test_a_written_file_has_its_bytes_and_its_mode_whatever_the_umask(
    tmp_path: Path, machine: Machine, mode: int
) -> None:
    before = os.umask(0o777)
    try:
        machine.write(tmp_path / "file", b"\0bytes", mode)
    finally:
        os.umask(before)
    info = (tmp_path / "file").stat()
    assert stat.S_IMODE(info.st_mode) == mode
    if os.geteuid() == 0 or mode & 0o400:
        assert machine.read(tmp_path / "file") == b"\0bytes"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_is_replaced_not_written_into(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "file"
    machine.write(path, b"old", 0o644)
    with path.open("rb") as reader:
        machine.write(path, b"new", 0o644)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_can_give_a_file_away_and_an_owner_is_no_matter_otherwise(
    tmp_path: Path, machine: Machine
) -> None:
    machine.write(tmp_path / "file", b"", 0o600, SOMEBODY)
    info = (tmp_path / "file").stat()
    assert (info.st_uid, info.st_gid) == (SOMEBODY.uid, SOMEBODY.gid)


def test_a_failed_write_says_what_where_and_leaves_nothing(
    tmp_path: Path, machine: Machine
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(HostelError, match=r"writing .*folder"):
        machine.write(tmp_path / "folder", b"", 0o644)
    with pytest.raises(HostelError, match="No such file"):
        machine.write(tmp_path / "missing" / "file", b"", 0o644)
    with pytest.raises(HostelError) as caught:
        machine.write(tmp_path / ("n" * 300), b"", 0o644)
    assert caught.value.remedy == "Use a shorter path."
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_nothing_is_read_where_nothing_is(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert machine.read(tmp_path / "file") == b""
    assert machine.read(tmp_path / "missing") is None
    assert machine.read(tmp_path / "file" / "below") is None


def test_removing_takes_files_folders_links_and_nothing_alike(
    tmp_path: Path, machine: Machine
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    link, dangling, file = (tmp_path / name for name in ("link", "dangling", "file"))
    link.symlink_to(outside)
    dangling.symlink_to("nowhere")
    file.write_text("")
    for path in (link, dangling, file, tmp_path / "missing"):
        machine.remove(path)
        assert not path.is_symlink()
        assert not path.exists()
    assert (outside / "deep").is_dir(), "a link's target is not the link's to take along"
    machine.remove(outside)
    assert not outside.exists()


def test_a_folder_is_made_and_settled(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "a" / "b"
    for mode in (0o750, 0o755, 0o755):
        machine.make_folder(path, mode)
        assert stat.S_IMODE(path.stat().st_mode) == mode


# -- commands -------------------------------------------------------------------------------


def test_a_command_gives_its_code_and_both_its_outputs(machine: Machine) -> None:
    code = "import sys; print(sys.stdin.read()); print('bad', file=sys.stderr); sys.exit(3)"
    ran = machine.run([sys.executable, "-c", code], stdin="hé")
    assert (ran.code, ran.out, ran.err) == (3, "hé\n", "bad\n")
    assert not ran.ok
    assert ran.tail == "bad"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_arguments_arrive_as_they_are(said: list[str]) -> None:
    code = "import sys; sys.stdout.buffer.write(b'|'.join(a.encode() for a in sys.argv[1:]))"
    argv = [sys.executable, "-X", "utf8", "-S", "-c", code, *said]
    assert Machine().run(argv).out == "|".join(said).encode().decode()


def test_a_command_sees_exactly_the_environment_it_is_given(machine: Machine) -> None:
    assert machine.run(["/usr/bin/env"], env={"A": "1 $B"}).out == "A=1 $B\n"


def test_a_missing_program_is_127_one_that_may_not_run_126_one_without_end_124(
    tmp_path: Path, machine: Machine
) -> None:
    closed = tmp_path / "closed"
    closed.write_text("#!/bin/sh\n")
    closed.chmod(0o644)
    assert machine.run(["hostel-no-such-program"]).code == 127
    assert machine.run([tmp_path / "missing"]).code == 127  # type: ignore[list-item]
    assert machine.run([closed]).code == 126  # type: ignore[list-item]
    late = machine.run([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.2)
    assert late.code == 124
    assert "no end after" in late.err


def test_output_that_is_no_text_is_no_failure(machine: Machine) -> None:
    code = r"import os; os.write(1, b'a\xffb'); os.write(2, b'\xfe')"
    ran = machine.run([sys.executable, "-c", code])
    assert ran.ok
    assert ran.out == "a\ufffdb"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_the_sites_own_commands_run_as_the_runner_without_roots_groups(
    tmp_path: Path,
) -> None:
    machine = Machine(SOMEBODY)
    ran = machine.run(["/usr/bin/id", "-u"], as_runner=True)
    groups = machine.run(["/usr/bin/id", "-G"], as_runner=True)
    assert ran.out.strip() == groups.out.strip() == str(SOMEBODY.uid)
    assert machine.run(["/usr/bin/id", "-u"]).out == "0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can")
def test_a_command_ends_with_the_one_who_ran_it(tmp_path: Path) -> None:
    """Killed without a word, in the midst of a long command."""
    note = tmp_path / "pid"
    code = (
        "from hostel.machine import Machine\n"
        f"Machine().run(['/bin/sh', '-c', 'echo $$ >{note}; exec sleep 600'])\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", code])
    from hostel import processes

    assert processes.wait(lambda: note.exists() and note.read_text().endswith("\n"), 30)
    pid = int(note.read_text())
    assert processes.identity(pid)
    runner.kill()
    runner.wait()
    assert processes.wait(lambda: processes.identity(pid) is None, 30)


# -- doors ----------------------------------------------------------------------------------


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everybody can enter, up to the root."""
    folder = Path(tempfile.mkdtemp(prefix="hostel-test-")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_the_first_closed_folder_is_named(open_place: Path, machine: Machine) -> None:
    below = open_place / "a" / "b"
    below.mkdir(parents=True)
    for folder in (open_place / "a", below):
        folder.chmod(0o755)
    assert machine.first_closed(below, SOMEBODY) is None
    below.chmod(0o711)
    assert machine.first_closed(below, SOMEBODY) == below, "the last one must be readable as well"
    below.chmod(0o755)
    (open_place / "a").chmod(0o711)
    assert machine.first_closed(below, SOMEBODY) is None, "to pass through is enough on the way"
    (open_place / "a").chmod(0o700)
    assert machine.first_closed(below, SOMEBODY) == open_place / "a"


def test_a_file_must_be_readable_and_what_is_missing_is_closed(
    open_place: Path, machine: Machine
) -> None:
    file = open_place / "file"
    assert machine.first_closed(file, SOMEBODY) == file
    file.write_text("")
    file.chmod(0o644)
    assert machine.first_closed(file, SOMEBODY) is None
    file.chmod(0o600)
    assert machine.first_closed(file, SOMEBODY) == file


def test_owners_and_groups_are_judged_by_their_own_bits(open_place: Path, machine: Machine) -> None:
    info = open_place.stat()
    owner = Account("owner", info.st_uid or 1, info.st_gid, Path("/"))
    member = Account("member", 54321, info.st_gid, Path("/"))
    open_place.chmod(0o705)
    assert machine.first_closed(open_place, member) == open_place
    open_place.chmod(0o750)
    assert machine.first_closed(open_place, member) is None
    if info.st_uid:
        open_place.chmod(0o077)
        assert machine.first_closed(open_place, owner) == open_place
    open_place.chmod(0o700)
    assert machine.first_closed(open_place, Account("root", 0, 0, Path("/"))) is None
