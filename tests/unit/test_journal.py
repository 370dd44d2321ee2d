"""The journal's memory: what is written down comes back, and no more than may be."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.account import Account
from hostel.errors import HostelError
from hostel.journal import Journal, decode, encode
from hostel.plan import Change, Key, State, key
from hostel.private_world import KINDS
from hostel.reserve import NAME, Reserve
from hostel.resources.cluster import ClusterState
from hostel.resources.database import DatabaseState
from hostel.resources.role import RoleState
from hostel.resources.server import ServerState
from hostel.states import Done, FileState, InstanceState

OWNER = Account("somebody", 1000, 1000, Path("/home/somebody"))
FILE = key("file", "/srv/a")
STATES: list[State] = [
    FileState.of(b"\x00\xff", mode=0o444, owner=OWNER),
    InstanceState(core="c", config="d", boot="/b", needs=(FILE,), loads=(FILE,)),
    Done(digest="x"),
    RoleState(rights=("createdb",)),
    DatabaseState.of("shop", ("citext",), (FILE,)),
    ServerState(settings="s"),
    ClusterState(major=18, hba="h", ident="i", conf="c"),
]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", KINDS)


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
def test_every_kind_of_state_comes_back_as_it_was(state: State) -> None:
    back = decode(type(state), encode(state))
    assert back == state
    assert back is not None
    assert (back.needs, back.loads) == (state.needs, state.loads)


@settings(deadline=None)
@given(st.binary(), st.integers(0, 0o7777))
def test_the_content_of_a_file_comes_back_byte_for_byte(content: bytes, mode: int) -> None:
    state = FileState.of(content, mode=mode, owner=OWNER)
    back = decode(FileState, encode(state))
    assert isinstance(back, FileState)
    assert back == state
    assert back.content == content


def test_absence_comes_back_as_absence() -> None:
    assert decode(FileState, encode(None)) is None


def test_what_was_begun_is_pending_in_its_order_until_the_run_ends(journal: Journal) -> None:
    changes = [
        Change(FILE, None, STATES[0]),
        Change(key("instance", "live"), STATES[1], replace(STATES[1], needs=())),
        Change(key("once", "check"), Done(digest="x"), None),
    ]
    assert journal.pending() == []
    for change in changes:
        journal.begun(change)
    assert journal.pending() == changes
    assert Journal(journal.path, KINDS).pending() == changes
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.end()
    journal.end()
    assert journal.pending() == []
    assert not journal.path.exists()


def test_nothing_is_pending_once_all_was_verified(journal: Journal) -> None:
    journal.begun(Change(FILE, None, STATES[0]))
    journal.verified()
    journal.begun(Change(FILE, STATES[0], None))
    assert journal.pending() == []


def test_what_is_left_to_clear_away_is_known_once_all_was_verified(journal: Journal) -> None:
    removals = [Change(FILE, STATES[0], None), Change(key("once", "check"), STATES[2], None)]
    journal.begun(Change(key("file", "/srv/b"), None, STATES[0]))
    assert journal.clearing() == []
    journal.verified(removals)
    assert journal.clearing() == removals
    journal.end()
    assert journal.clearing() == []


def test_a_line_that_cannot_be_written_whole_is_not_there_at_all(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Change(key("file", name), None, STATES[0]) for name in ("/a", "/b"))
    journal.begun(first)
    whole = journal.path.read_bytes()
    real = os.write

    def some(handle: int, data: bytes) -> int:
        """As a disk does on which there is room for a few bytes more."""
        if len(data) < 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data[:20])

    monkeypatch.setattr(os, "write", some)
    with pytest.raises(HostelError, match="No space left") as caught:
        journal.begun(second)
    assert str(journal.path) in caught.value.doing
    assert journal.path.read_bytes() == whole


def test_space_is_kept_back_from_the_first_change_until_all_is_verified(tmp_path: Path) -> None:
    reserve = Reserve((tmp_path, tmp_path / "none"), size=5000)
    journal = Journal(tmp_path / "journal", KINDS, reserve)
    kept = tmp_path / NAME
    journal.begun(Change(FILE, None, STATES[0]))
    assert kept.stat().st_blocks * 512 >= 5000
    journal.verified()
    assert not kept.exists()
    journal.end()
    journal.begun(Change(FILE, STATES[0], None))
    assert not kept.exists(), "a removal needs none"


def test_only_the_content_that_undo_needs_is_written(journal: Journal) -> None:
    old, new = (FileState.of(text, mode=0o444, owner=OWNER) for text in (b"old", b"new"))
    journal.begun(Change(FILE, old, new))
    [change] = journal.pending()
    assert isinstance(change.before, FileState)
    assert isinstance(change.after, FileState)
    assert change.before.content == b"old"
    assert change.after.content == b""
    assert change.after.digest == new.digest


@pytest.mark.parametrize("removed", [False, True])
def test_a_secret_is_not_written_even_where_only_what_is_wanted_says_that_it_is_one(
    journal: Journal, removed: bool
) -> None:
    seen = FileState.of(b"sesame", mode=0o400, owner=OWNER)
    wanted = replace(seen, mode=0o440, secret=True)
    journal.begun(Change(FILE, seen, None if removed else wanted))
    [change] = journal.pending()
    assert isinstance(change.before, FileState)
    assert change.before == seen
    assert change.before.content == b""
    assert b"c2VzYW1l" not in journal.path.read_bytes()


@settings(deadline=None)
@given(st.binary(max_size=40).filter(lambda tail: b"\n" not in tail))
def test_a_broken_last_line_hides_nothing_before_it(tail: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal", KINDS)
        journal.begun(Change(FILE, None, STATES[0]))
        with journal.path.open("ab") as file:
            file.write(b'{"begun": {"key": ' + tail)
        assert journal.pending() == [Change(FILE, None, STATES[0])]


def test_a_path_that_is_not_utf_8_comes_back(journal: Journal) -> None:
    which = Key("file:/srv/\udcff")
    journal.begun(Change(which, None, STATES[0]))
    assert journal.pending()[0].key == which


def test_a_state_may_hold_what_json_can_hold() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd(State):
        many: tuple[str, ...] = ()
        number: int = 0
        flag: bool = False

    odd = Odd(many=("a", "b"), number=3, flag=True)
    assert decode(Odd, encode(odd)) == odd
