"""On real files: what others made is never changed or removed, wherever a run is killed."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hostel.apply import apply, recover
from hostel.drift import drifts
from hostel.errors import HostelError, RolledBack
from hostel.journal import Journal
from hostel.ledger import Ledger
from hostel.machine import Machine
from hostel.owned_world import OwnedWorld
from hostel.plan import Key, Plan, State, key, plan
from hostel.resources.file import Files
from hostel.resources.folder import Folders, FolderState, folder_key
from hostel.resources.once import Once
from hostel.states import Done, FileState, file_key

KILLED = 9
KINDS: dict[str, type[State]] = {"file": FileState, "folder": FolderState, "once": Done}
Contents = Mapping[str, str]


class Scene:
    """A folder `srv` with things in it, and beside it what Hostel remembers."""

    def __init__(self, root: Path) -> None:
        self.srv, self.var = root / "srv", root / "var"
        self.machine = Machine()
        self.journal = Journal(self.var / "journal", KINDS)
        self.owner = self.machine.me.owner
        self.did: list[str] = []
        self.srv.mkdir(exist_ok=True)
        self.var.mkdir(exist_ok=True)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.var / "ledger.json", self.machine)

    def world(self) -> OwnedWorld:
        kinds = {
            "file": Files(self.srv),
            "folder": Folders(self.srv),
            "once": Once(self.var, {"hook": lambda: self.did.append("hook")}),
        }
        return OwnedWorld(kinds, self.machine, self.ledger)

    def wanted(self, contents: Contents) -> dict[Key, State]:
        """A site in a folder of its own; without contents there is none."""
        if not contents:
            return {}
        site = folder_key(self.srv / "site")
        states: dict[Key, State] = {
            self.key(name): FileState(
                **vars(FileState.of(text.encode(), mode=0o444, owner=self.owner))
                | {"needs": (site,)}
            )
            for name, text in contents.items()
        }
        return {**states, site: FolderState(mode=0o755, owner=self.owner)}

    def key(self, name: str) -> Key:
        return file_key(self.srv / "site" / name)

    def planned(self, contents: Contents) -> Plan:
        """Removes what is in the ledger and not wanted any more."""
        wanted, world = self.wanted(contents), self.world()
        return plan(wanted, {which: world.observe(which) for which in (*wanted, *self.made)})

    def go(self, contents: Contents, verify: Callable[[], None] = lambda: None) -> None:
        apply(self.planned(contents), self.world(), self.journal, verify, lambda change: None)

    def mend(self) -> None:
        recover(self.world(), self.journal)

    @property
    def made(self) -> set[Key]:
        return set(self.ledger.digests)

    def seen(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.srv)): path.read_text() if path.is_file() else "folder"
            for path in self.srv.rglob("*")
            if ".hostel-" not in path.name
        }


@pytest.fixture
def it(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


A, B, C = {"a": "1"}, {"a": "2", "b": "1"}, {"b": "1"}


def refuse() -> None:
    raise HostelError("asking the site", "it does not answer")


def test_what_is_made_is_owned_and_what_is_removed_is_forgotten(it: Scene) -> None:
    for contents in (A, B, C, {}, B):
        it.go(contents)
        assert it.made == set(it.wanted(contents))
        assert not it.planned(contents)
        assert not any(it.ledger.drifted(key, it.world().observe(key)) for key in it.made)
    assert it.seen() == {"site": "folder", "site/a": "2", "site/b": "1"}


def test_what_was_here_before_is_neither_changed_nor_removed(it: Scene) -> None:
    it.go(C)
    (it.srv / "site" / "a").write_text("precious")
    steps = it.planned(B)
    with pytest.raises(HostelError, match="Hostel did not make it") as caught:
        it.world().check(steps)
    assert str(it.srv / "site" / "a") in caught.value.doing
    assert "move it away" in caught.value.remedy
    with pytest.raises(RolledBack, match="Hostel did not make it"):
        it.go(B)
    assert it.seen() == {"site": "folder", "site/a": "precious", "site/b": "1"}
    foreign = plan({}, {it.key("a"): it.world().observe(it.key("a"))})
    with pytest.raises(HostelError, match="removing the file"):
        it.world().check(foreign)
    with pytest.raises(HostelError, match="removing the file"):
        apply(foreign, it.world(), it.journal, lambda: None, lambda change: None)
    assert (it.srv / "site" / "a").read_text() == "precious"
    assert it.key("a") not in it.made


def test_what_is_already_as_wanted_is_used_and_never_removed(it: Scene) -> None:
    it.go(C)
    (it.srv / "site" / "a").write_text("2")
    (it.srv / "site" / "a").chmod(0o444)
    it.go(B)
    assert it.key("a") not in it.made
    it.go(C)
    assert (it.srv / "site" / "a").read_text() == "2"


def test_what_was_moved_away_can_be_made(it: Scene) -> None:
    it.go(C)
    (it.srv / "site" / "a").write_text("precious")
    (it.srv / "site" / "a").rename(it.srv / "site" / "old")
    it.go(B)
    assert it.seen()["site/a"] == "2"


def test_a_failed_run_leaves_the_ledger_as_it_was(it: Scene) -> None:
    for contents, others in ((A, B), (B, {}), ({}, A)):
        it.go(contents)
        before = it.ledger.digests
        if others:
            with pytest.raises(RolledBack):
                it.go(others, refuse)
            assert it.ledger.digests == before


def test_an_undone_run_does_not_take_a_hand_edit_for_its_own_work(it: Scene) -> None:
    it.go(A)
    (it.srv / "site" / "a").unlink()
    (it.srv / "site" / "a").write_text("by hand")
    with pytest.raises(RolledBack):
        it.go(B, refuse)
    assert it.seen()["site/a"] == "by hand"
    assert it.ledger.drifted(it.key("a"), it.world().observe(it.key("a")))
    it.go(B)
    assert it.seen()["site/a"] == "2"
    assert not it.ledger.drifted(it.key("a"), it.world().observe(it.key("a")))


def test_a_hand_edit_is_listed_and_what_is_kept_is_not_overwritten(it: Scene) -> None:
    from hostel.drift import kept

    it.go(B)
    (it.srv / "site" / "a").chmod(0o666)
    wanted, world = it.wanted(B), it.world()
    observed = {which: world.observe(which) for which in wanted}
    [drift] = drifts(it.ledger.digests, observed, wanted)
    assert (drift.key, drift.what) == (it.key("a"), "mode 0666 instead of 0444")
    assert plan(wanted, observed)
    assert not plan(kept(wanted, observed, [drift.key]), observed)


def test_notes_of_what_was_done_are_nobody_elses(it: Scene) -> None:
    hook = key("once", "hook")
    for digest in ("1", "2"):
        steps = plan({hook: Done(digest=digest)}, {hook: it.world().observe(hook)})
        apply(steps, it.world(), it.journal, lambda: None, lambda change: None)
    assert it.did == ["hook", "hook"]
    assert not it.made


# -- kills ----------------------------------------------------------------------------------


def killed_at(point: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that dies at its file operation number `point`; False if it ended."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        count = itertools.count()

        def hook(event: str, args: tuple[object, ...]) -> None:
            if event.startswith(("open", "os.", "shutil.", "tempfile.")) and next(count) == point:
                os._exit(KILLED)

        code = 1
        try:
            sys.addaudithook(hook)
            work()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED), "it failed before it was killed"
    return code == KILLED


def after_each_kill(before: Contents, work: Callable[[Scene], object]) -> Iterator[Scene]:
    for point in itertools.count():
        with tempfile.TemporaryDirectory() as folder:
            it = Scene(Path(folder))
            it.go(before)
            if not killed_at(point, lambda it=it: work(it)):  # type: ignore[misc]
                assert point > 10
                return
            yield Scene(Path(folder))


@pytest.mark.parametrize(
    ("before", "after"), [({}, B), (A, B), (B, A), (B, {})], ids=["first", "more", "less", "none"]
)
def test_after_a_kill_anywhere_the_next_run_proceeds_and_owns_what_is_there(
    before: Contents, after: Contents
) -> None:
    for it in after_each_kill(before, lambda it: it.go(after)):
        there = {which for which in it.wanted(B) if it.world().observe(which) is not None}
        assert there <= it.made, "what exists was in the ledger before"
        it.mend()
        it.go(after)
        assert not it.planned(after)
        assert {key for key in it.made if it.world().observe(key)} == set(it.wanted(after))
        assert not any(it.ledger.drifted(key, it.world().observe(key)) for key in it.wanted(after))


def test_after_a_kill_the_next_run_may_also_want_something_else(
    tmp_path: Path,
) -> None:
    for it in after_each_kill({}, lambda it: it.go(B)):
        it.mend()
        it.go(C)
        it.go({})
        assert it.seen() == {}


def test_what_others_made_outlives_kills(tmp_path: Path) -> None:
    def stranger(it: Scene) -> None:
        it.go(C)
        (it.srv / "site" / "a").write_text("precious")

    for point in itertools.count():
        with tempfile.TemporaryDirectory() as folder:
            it = Scene(Path(folder))
            stranger(it)

            def run(it: Scene = it) -> None:
                with pytest.raises(RolledBack):
                    it.go(B)

            more = killed_at(point, run)
            it = Scene(Path(folder))
            it.mend()
            assert it.seen()["site/a"] == "precious"
            assert it.key("a") not in it.made
            if not more:
                return
