"""The local CA in a browser's real database, in and out again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hostel import localca
from hostel.machine import Machine
from hostel.trust import Step, carry_out, look, steps, undo

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("certutil") is None, reason="needs certutil (libnss3-tools)"),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the databases of Chromium and of one Firefox profile."""
    for name in (".pki/nssdb", ".mozilla/firefox/ab12.default"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        subprocess.run(["certutil", "-N", "-d", f"sql:{folder}", "--empty-password"], check=True)
    return tmp_path


@pytest.fixture
def authority(tmp_path: Path) -> localca.Authority:
    return localca.ensure(tmp_path / "ca", Machine())


def of_browsers(these: tuple[Step, ...]) -> list[Step]:
    return [step for step in these if not step.root]


def test_browsers_trust_it_after_the_steps_and_not_after_their_undoing(
    home: Path, authority: localca.Authority
) -> None:
    machine = Machine()
    todo = of_browsers(steps(look(authority, machine, home)))
    assert len(todo) == 2
    for step in todo:
        carry_out(step, machine)
    assert of_browsers(steps(look(authority, machine, home))) == []
    leaf = home / "leaf.crt"
    pem = localca.leaf(authority, ("localhost",))
    leaf.write_bytes(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    database = f"sql:{home / '.pki/nssdb'}"
    subprocess.run(
        ["certutil", "-A", "-d", database, "-n", "leaf", "-t", ",,", "-i", leaf], check=True
    )
    verify = ["certutil", "-V", "-d", database, "-n", "leaf", "-u", "V"]
    assert subprocess.run(verify, check=False).returncode == 0
    for step in of_browsers(undo(look(authority, machine, home))):
        carry_out(step, machine)
    assert subprocess.run(verify, check=False).returncode != 0
    assert of_browsers(undo(look(authority, machine, home))) == []


def test_a_new_authority_takes_the_place_of_the_old(
    home: Path, tmp_path: Path, authority: localca.Authority
) -> None:
    machine = Machine()
    newer = localca.ensure(tmp_path / "newer", machine)
    for one in (authority, newer):
        for step in of_browsers(steps(look(one, machine, home))):
            carry_out(step, machine)
    held = {name for one in look(newer, machine, home).databases for name in one.nicknames}
    assert held == {look(newer, machine, home).nickname}


def test_the_database_of_a_browser_that_never_ran_is_made(
    tmp_path: Path, authority: localca.Authority
) -> None:
    from hostel.trust import Database

    machine, path = Machine(), tmp_path / ".pki" / "nssdb"
    facts = look(authority, machine, tmp_path)
    made = steps(type(facts)(**{**vars(facts), "databases": (Database(path, exists=False),)}))
    for step in of_browsers(made):
        carry_out(step, machine)
    assert look(authority, machine, tmp_path).databases[0].nicknames == (facts.nickname,)


def test_a_database_that_refuses_says_so(home: Path, authority: localca.Authority) -> None:
    from hostel.errors import HostelError

    (home / ".pki/nssdb/cert9.db").write_bytes(b"no database")
    machine = Machine()
    (step, *_) = of_browsers(steps(look(authority, machine, home)))
    with pytest.raises(HostelError) as caught:
        carry_out(step, machine)
    assert "certutil -A" in caught.value.remedy
