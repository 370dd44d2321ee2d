"""The folder of the sockets: short enough, always the same, and nobody else's."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.account import Account
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.rundir import LONGEST, choose, private_folder, run_dir


@pytest.fixture
def machine() -> Machine:
    if os.geteuid() != 0:
        return Machine()
    return Machine(Account.named("www-data") or Account.named("nobody"))


@pytest.fixture
def long_state(tmp_path: Path, machine: Machine) -> Iterator[Path]:
    state = tmp_path / ("x" * 150)
    state.mkdir()
    yield state
    shutil.rmtree(choose(state, machine), ignore_errors=True)


def test_it_is_beside_the_state_where_that_fits(tmp_path: Path, machine: Machine) -> None:
    state = tmp_path / "s"
    state.mkdir()
    folder = run_dir(state, machine)
    assert folder == state / "run" == run_dir(state, machine)
    info = folder.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o700, machine.runner.uid)


def test_the_limit_is_exact(machine: Machine) -> None:
    room = LONGEST - len("/.s.PGSQL.5432") - len("/run")
    fits = Path("/" + "x" * (room - 1))
    assert choose(fits, machine) == fits / "run"
    assert choose(Path(f"{fits}x"), machine).name.startswith("hostel-")


@pytest.mark.parametrize("name", ["a b", "a,b", "ü", "a%b", "a'b"])
def test_a_path_that_lists_and_urls_would_mangle_is_not_used(name: str, machine: Machine) -> None:
    assert choose(Path("/srv") / name, machine).parent in (Path("/tmp"), Path("/run"))


def test_nothing_is_made_before_there_is_a_state(tmp_path: Path, machine: Machine) -> None:
    folder = run_dir(tmp_path / "none", machine)
    assert not folder.exists()
    assert not (tmp_path / "none").exists()


def test_the_short_one_is_private_short_and_always_the_same(
    long_state: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_dir(long_state, machine)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    assert run_dir(long_state, machine) == folder
    info = folder.lstat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o700, machine.runner.uid)
    assert len(str(folder)) < 90


def test_a_planted_link_is_refused(long_state: Path, machine: Machine, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(0o755)
    folder = choose(long_state, machine)
    folder.symlink_to(victim)
    try:
        with pytest.raises(HostelError, match="symbolic link"):
            run_dir(long_state, machine)
        assert stat.S_IMODE(victim.stat().st_mode) == 0o755
        assert victim.stat().st_uid == os.geteuid()
    finally:
        folder.unlink()


def test_a_planted_file_is_refused(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "planted").write_text("")
    with pytest.raises(HostelError, match="not a folder"):
        private_folder(tmp_path / "planted", machine)


def test_one_that_is_open_to_others_is_refused(tmp_path: Path, machine: Machine) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    if machine.is_root:
        os.chown(folder, machine.runner.uid, machine.runner.gid)
    folder.chmod(0o750)
    with pytest.raises(HostelError, match="other users may use it"):
        private_folder(folder, machine)


def test_somebody_elses_is_refused(tmp_path: Path, machine: Machine) -> None:
    if not machine.is_root:
        pytest.skip("needs root")
    folder = tmp_path / "theirs"
    folder.mkdir(0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(HostelError, match="belongs to another user"):
        private_folder(folder, machine)


def test_one_that_root_had_not_yet_given_away_is_taken_up(tmp_path: Path, machine: Machine) -> None:
    folder = tmp_path / "half"
    folder.mkdir(0o700)
    private_folder(folder, machine)
    assert folder.stat().st_uid == machine.runner.uid
