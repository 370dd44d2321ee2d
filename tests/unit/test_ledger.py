"""What Hostel made is remembered, on disk at once, and by digests only."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.errors import HostelError
from hostel.ledger import Ledger
from hostel.machine import Machine
from hostel.plan import Key, key
from hostel.states import Done, FileState

FILE = key("file", "/srv/a")
OTHER = key("user", "hostel-shop")
STATE = FileState.of(b"content", mode=0o440, owner="root:root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "ledger.json"


def ledger(path: Path) -> Ledger:
    """As the next run reads it."""
    return Ledger(path, Machine())


def test_what_was_made_is_owned_until_it_is_forgotten(path: Path) -> None:
    assert not ledger(path).owns(FILE)
    ledger(path).made(FILE, STATE)
    assert ledger(path).owns(FILE)
    assert not ledger(path).owns(OTHER)
    ledger(path).forget(FILE, OTHER)
    assert not ledger(path).owns(FILE)


def test_what_was_only_begun_is_owned_and_is_no_drift(path: Path) -> None:
    ledger(path).begin(FILE, OTHER)
    assert ledger(path).owns(FILE)
    assert ledger(path).owns(OTHER)
    assert not ledger(path).drifted(FILE, None)
    assert not ledger(path).drifted(FILE, STATE)


def test_beginning_again_does_not_forget_how_it_was_left(path: Path) -> None:
    ledger(path).made(FILE, STATE)
    ledger(path).begin(FILE)
    assert ledger(path).drifted(FILE, Done(digest="x"))


def test_drift_is_a_state_other_than_the_one_made_last_and_only_of_what_is_owned(
    path: Path,
) -> None:
    ledger(path).made(FILE, Done(digest="first"))
    ledger(path).made(FILE, STATE)
    assert not ledger(path).drifted(FILE, STATE)
    assert ledger(path).drifted(FILE, None)
    assert ledger(path).drifted(FILE, FileState.of(b"content", mode=0o444, owner="root:root"))
    assert ledger(path).drifted(FILE, FileState.of(b"contend", mode=0o440, owner="root:root"))
    assert not ledger(path).drifted(OTHER, STATE)


def test_neither_content_nor_its_own_digest_is_in_the_file_and_others_cannot_read_it(
    path: Path,
) -> None:
    ledger(path).made(FILE, FileState.of(b"sesame", mode=0o400, owner="root:root", secret=True))
    text = path.read_text()
    assert "sesame" not in text
    assert FileState.of(b"sesame", mode=0o400, owner="x").digest not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_any_key_comes_back(entries: dict[str, str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        for name, digest in entries.items():
            ledger(path).made(key("file", name), Done(digest=digest))
        assert set(ledger(path).digests) == {key("file", name) for name in entries}
        for name, digest in entries.items():
            assert not ledger(path).drifted(key("file", name), Done(digest=digest))


def test_a_name_that_is_no_utf8_comes_back(path: Path) -> None:
    which = Key("file:/srv/\udcff")
    ledger(path).made(which, STATE)
    assert ledger(path).owns(which)


def test_what_changes_nothing_is_not_written(path: Path) -> None:
    it = ledger(path)
    it.made(FILE, STATE)
    before = path.stat().st_ino
    it.made(FILE, STATE)
    it.begin(FILE)
    it.forget(OTHER)
    assert path.stat().st_ino == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"made": 1}', '{"made": ["a"]}', "\udcff"])
def test_a_damaged_ledger_is_refused_and_left(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(HostelError, match="no ledger") as caught:
        ledger(path)
    assert "backup" in caught.value.remedy
    assert path.read_bytes() == text.encode(errors="surrogateescape")


def test_a_failed_write_leaves_the_old_ledger_and_what_it_knows(path: Path) -> None:
    it = ledger(path)
    it.made(FILE, STATE)
    path.unlink()
    path.mkdir()  # Nothing can be put in the place of a folder.
    with pytest.raises(HostelError):
        it.made(OTHER, STATE)
    assert not it.owns(OTHER)
    assert it.owns(FILE)
    path.rmdir()
    it.begin(OTHER)
    assert set(json.loads(path.read_text())["made"]) == {FILE, OTHER}
