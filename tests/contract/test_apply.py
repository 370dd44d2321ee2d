"""The engine on real files and a server that reads them: failures and kills at every point."""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.apply import World, apply, recover
from hostel.errors import HalfUndone, HostelError, RolledBack
from hostel.journal import Journal
from hostel.machine import Machine
from hostel.plan import Change, Key, Plan, State, key, name_of, plan
from hostel.platforms.layout import Layout
from hostel.platforms.private import machine_here, tidy
from hostel.resources import Resource
from hostel.resources.file import Files
from hostel.resources.once import Once
from hostel.states import Done, FileState, file_key

KILLED = 9
Contents = Mapping[str, str]
"""Files by name; the server reads those whose name does not begin with "un"."""


@dataclass(frozen=True, kw_only=True)
class Reading(State):
    """A server that runs, by what it read when it started or reloaded."""

    read: str


class Readers:
    """A kind whose one thing reads the files that its configuration names, as httpd does."""

    def __init__(self, conf: Path, record: Path) -> None:
        self.conf, self.record = conf, record

    def observe(self, which: Key, machine: Machine) -> Reading | None:
        text = machine.read(self.record)
        return Reading(read=text.decode()) if text else None

    def enact(self, change: Change, machine: Machine) -> None:
        if change.after is None:
            machine.remove(self.record)
            return
        conf = (machine.read(self.conf) or b"").decode()
        parts = [conf.encode()]
        for name in conf.split():
            content = machine.read(self.conf.parent / name)
            if content is None:
                raise HostelError("starting the server", f"{name} is missing")
            parts.append(content)
        machine.write(self.record, digest(parts).encode(), 0o644)


KINDS: dict[str, type[State]] = {"file": FileState, "server": Reading, "once": Done}
SERVER = key("server", "it")


def digest(parts: list[bytes]) -> str:
    return sha256(b"\0".join(parts)).hexdigest()


class Scene:
    """One folder with the files, the server's record and the journal of a site."""

    def __init__(self, root: Path) -> None:
        self.root, self.machine = root, machine_here()
        self.layout = Layout(root, root / "run")
        self.files, self.conf = self.layout.instance, self.layout.conf
        self.journal = Journal(self.layout.journal, KINDS)
        for folder in (self.files, self.layout.done):
            folder.mkdir()

    def world(self, wrap: Callable[[Resource], Resource] = lambda inner: inner) -> World:
        kinds: dict[str, Resource] = {
            "file": wrap(Files(Path("/"))),
            "server": wrap(Readers(self.conf, self.layout.record)),
        }
        return World(kinds, self.machine)

    def wanted(self, contents: Contents) -> dict[Key, State]:
        if not contents:
            return {}
        read = sorted(name for name in contents if not name.startswith("un"))
        conf = "".join(f"{name}\n" for name in read)
        owner, states = self.machine.runner, dict[Key, State]()
        for name, text in {**contents, self.conf.name: conf}.items():
            mode = 0o400 if name.startswith("secret") else 0o444
            states[file_key(self.files / name)] = FileState.of(
                text.encode(), mode=mode, owner=owner, secret=name.startswith("secret")
            )
        states[SERVER] = Reading(
            read=digest([conf.encode(), *(contents[name].encode() for name in read)]),
            needs=tuple(file_key(self.files / name) for name in read),
            loads=(file_key(self.conf),),
        )
        # The server first: the order of the plan must come from what it needs, not from here.
        return dict(reversed(states.items()))

    def planned(self, contents: Contents) -> Plan:
        wanted, world = self.wanted(contents), self.world()
        there = [file_key(path) for path in self.files.rglob("*") if path.is_file()]
        return plan(wanted, {which: world.observe(which) for which in {*wanted, *there, SERVER}})

    def go(
        self,
        contents: Contents,
        wrap: Callable[[Resource], Resource] = lambda inner: inner,
        verify: Callable[[], None] = lambda: None,
    ) -> None:
        apply(self.planned(contents), self.world(wrap), self.journal, verify, lambda change: None)
        tidy(self.layout)

    def mend(self) -> int:
        """What a new process does first."""
        undone = recover(self.world(), self.journal)
        tidy(self.layout)
        return len(undone)

    @property
    def was_verified(self) -> bool:
        return b"verified" in (self.machine.read(self.journal.path) or b"")

    def seen(self) -> dict[str, tuple[bytes, int, int]]:
        """Every file with mode and owner, whatever it is; only folders do not count."""
        paths = [path for path in self.root.rglob("*") if not path.is_dir()]
        return {
            str(path.relative_to(self.root)): (
                path.read_bytes(),
                stat.S_IMODE(path.stat().st_mode),
                path.stat().st_uid,
            )
            for path in paths
        }

    def essence(self) -> dict[str, tuple[bytes, int, int]]:
        """What is seen but for half-written files: only a kill leaves those, until the next run."""
        return {name: it for name, it in self.seen().items() if ".hostel-" not in name}


@contextlib.contextmanager
def scene(before: Contents) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        it = Scene(Path(folder))
        it.go(before)
        yield it


FIRST: tuple[Contents, Contents] = ({}, {"a": "1", "sub/b": "2", "secret-1": "s", "unread": "x"})
UPDATE: tuple[Contents, Contents] = (
    {"a": "1", "b": "old", "secret-1": "s", "unread": "x"},
    {"a": "2", "b": "old", "deep/er/c": "new", "secret-2": "t", "unread": "y"},
)
REMOVAL: tuple[Contents, Contents] = (
    {"a": "1", "secret-1": "s", "un1": "x", "un2": "y"},
    {"a": "1"},
)
ALL_GONE: tuple[Contents, Contents] = ({"a": "1", "secret-1": "s"}, {})
WORLDS = pytest.mark.parametrize(
    ("before", "after"),
    [FIRST, UPDATE, REMOVAL, ALL_GONE],
    ids=["first", "update", "removal", "all-gone"],
)

names = st.sampled_from(["a", "b", "c", "sub/d", "sub/e", "secret-1", "secret-2", "unread", "un/x"])


@st.composite
def contents(draw: st.DrawFn) -> dict[str, str]:
    """A world; a secret's content is decided by its name, as everywhere in Hostel."""
    chosen = draw(st.sets(names, min_size=1))
    return {
        name: name if name.startswith("secret") else draw(st.sampled_from(["1", "2", ""]))
        for name in sorted(chosen)
    }


# -- failures -------------------------------------------------------------------------------


class Failing:
    """A kind that fails before or after its step number `at`, counted over all kinds."""

    def __init__(self, inner: Resource, count: Iterator[int], at: int, problem: BaseException):
        self.inner, self.count, self.at, self.problem = inner, count, at, problem

    def observe(self, which: Key, machine: Machine) -> State | None:
        return self.inner.observe(which, machine)

    def enact(self, change: Change, machine: Machine) -> None:
        now = next(self.count)
        if now == self.at:
            raise self.problem
        self.inner.enact(change, machine)
        if now + 0.5 == self.at:
            raise self.problem


def failing(at: float, problem: BaseException) -> Callable[[Resource], Resource]:
    count = itertools.count()
    return lambda inner: Failing(inner, count, at, problem)  # type: ignore[arg-type]


class Boom(HostelError):
    pass


def refuse() -> None:
    raise Boom("asking the site", "it does not answer")


@settings(deadline=None, max_examples=40)
@given(before=st.one_of(st.just({}), contents()), after=contents(), data=st.data())
def test_a_failure_anywhere_leaves_everything_as_it_was(
    before: Contents, after: Contents, data: st.DataObject
) -> None:
    with scene(before) as it:
        changes = len(it.planned(after).changes)
        former = it.seen()
        if not changes:
            return
        at = data.draw(st.integers(0, 2 * changes - 1)) / 2
        problem: BaseException = data.draw(
            st.sampled_from([Boom("x", "y"), KeyboardInterrupt(), RuntimeError("bug")])
        )
        expected = RolledBack if isinstance(problem, Boom) else type(problem)
        with pytest.raises(expected):
            it.go(after, failing(at, problem))
        assert it.seen() == former
        it.go(after)
        assert not it.planned(after)


@WORLDS
def test_a_failure_before_or_after_each_step_leaves_everything_as_it_was(
    before: Contents, after: Contents
) -> None:
    with scene(before) as it:
        former = it.seen()
        for at in range(2 * len(it.planned(after).changes)):
            with pytest.raises(RolledBack, match="boom"):
                it.go(after, failing(at / 2, Boom("doing it", "boom")))
            assert it.seen() == former


@WORLDS
def test_a_site_that_does_not_verify_is_put_back(before: Contents, after: Contents) -> None:
    with scene(before) as it:
        former = it.seen()
        with pytest.raises(RolledBack, match="does not answer"):
            it.go(after, verify=refuse)
        assert it.seen() == former


def test_nothing_is_removed_before_the_new_world_is_verified() -> None:
    before, after = UPDATE
    with scene(before) as it:
        old = set(it.seen())

        def look() -> None:
            assert old <= set(it.seen())

        it.go(after, verify=look)
        assert "instance/secret-1" not in it.seen()


@pytest.mark.parametrize(("before", "after"), [UPDATE, REMOVAL], ids=["update", "removal"])
def test_a_removal_that_fails_keeps_the_new_world_and_the_next_run_ends_it(
    before: Contents, after: Contents
) -> None:
    with scene(before) as it:
        steps = it.planned(after)
        for at in range(2 * len(steps.removals)):
            with contextlib.suppress(Boom):
                it.go(after, failing(len(it.planned(after).changes) + at / 2, Boom("x", "y")))
            assert not it.mend(), "what was verified is not undone"
            assert not it.planned(after).changes
        it.go(after)
        assert not it.planned(after)


def test_an_undo_that_fails_is_ended_by_the_next_run() -> None:
    before, after = UPDATE
    with scene(before) as it:
        former = it.seen()
        total = len(it.planned(after).changes)
        for at in range(2 * total):
            with pytest.raises(HalfUndone):
                it.go(after, failing(total + at / 2, Boom("undoing", "no luck")), refuse)
            if at == 2 * total - 1:
                break
            assert it.mend()
            assert it.seen() == former


def test_an_undo_that_fails_somewhere_goes_as_far_as_it_can_and_says_both() -> None:
    """What cannot be put back keeps what it stands on; all else is as it was."""
    before, after = UPDATE
    with scene(before) as it:
        former = it.seen()
        fine = it.planned(after)
        assert fine.changes[-1].key == SERVER
        kept = {name for name in it.seen() if name.endswith(("a", "httpd.conf"))}

        class Stubborn(Files):
            def enact(self, change: Change, machine: Machine) -> None:
                if change.after is not None and undoing:
                    raise OSError(28, "No space left on device", name_of(change.key))
                super().enact(change, machine)

        undoing = False

        def fail() -> None:
            nonlocal undoing
            undoing = True
            refuse()

        world = it.world()
        world.resources = {**world.resources, "file": Stubborn(Path("/"))}
        with pytest.raises(HalfUndone, match="does not answer") as caught:
            apply(fine, world, it.journal, fail, lambda change: None)
        assert "No space left on device" in caught.value.detail
        assert "Free some space" in caught.value.remedy
        assert "run the same command again" in caught.value.remedy
        left = {name for name in {*former, *it.seen()} if former.get(name) != it.seen().get(name)}
        assert kept & left
        assert "instance/secret-2" not in it.seen()
        assert it.mend()
        assert it.seen() == former


def test_an_error_of_the_operating_system_is_told_with_its_path_and_undone() -> None:
    before, after = UPDATE
    with scene(before) as it:
        former = it.seen()
        problem = OSError(28, "No space left on device", "/srv/full")
        with pytest.raises(RolledBack, match="/srv/full: No space left on device") as caught:
            it.go(after, failing(2, problem))
        assert "Free some space" in caught.value.remedy
        assert it.seen() == former


def test_a_second_signal_does_not_break_the_undo_off() -> None:
    before, after = UPDATE
    with scene(before) as it:
        former = it.seen()

        class Hasty(Readers):
            def enact(self, change: Change, machine: Machine) -> None:
                os.kill(os.getpid(), signal.SIGINT)
                super().enact(change, machine)

        world = it.world()
        world.resources = {**world.resources, "server": Hasty(it.conf, it.layout.record)}
        with pytest.raises(KeyboardInterrupt) as caught:
            apply(it.planned(after), world, it.journal, lambda: None, lambda change: None)
        assert "undone" in str(caught.value)
        assert it.seen() == former
        assert not it.journal.path.exists()


def test_something_that_changed_meanwhile_is_not_overwritten() -> None:
    before, after = UPDATE
    with scene(before) as it:
        steps = it.planned(after)
        (it.files / "a").unlink()
        (it.files / "a").write_text("by hand")
        with pytest.raises(RolledBack, match="changed by something else"):
            apply(steps, it.world(), it.journal, lambda: None, lambda change: None)
        assert (it.files / "a").read_text() == "by hand"


def test_a_step_that_only_seems_done_is_a_failure() -> None:
    class Idle(Readers):
        def enact(self, change: Change, machine: Machine) -> None:
            pass

    with scene({}) as it:
        world = it.world()
        world.resources = {**world.resources, "server": Idle(it.conf, it.layout.record)}
        with pytest.raises(RolledBack, match="still not as it should be"):
            apply(it.planned({"a": "1"}), world, it.journal, lambda: None, lambda change: None)
        assert it.seen() == {}


def test_what_ran_once_is_forgotten_by_undo_and_runs_again() -> None:
    with scene({"a": "1"}) as it:
        ran: list[str] = []
        once = Once(it.layout.done, {"hook": lambda: ran.append("hook")})
        world = it.world()
        world.resources = {**world.resources, "once": once}
        hook = key("once", "hook")
        steps = plan({hook: Done(digest="1")}, {hook: None})
        with pytest.raises(RolledBack):
            apply(steps, world, it.journal, refuse, lambda change: None)
        assert world.observe(hook) is None
        apply(steps, world, it.journal, lambda: None, lambda change: None)
        assert ran == ["hook", "hook"]
        assert world.observe(hook) == Done(digest="1")


# -- kills ----------------------------------------------------------------------------------

TOUCHING = ("open", "os.", "shutil.", "tempfile.")
"""Audit events of what touches the file system; each is a point at which a run is killed."""


def killed_at(point: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that dies, without a word, at its file operation number `point`.

    False when it came to its end before that.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        count = itertools.count()

        def hook(event: str, args: tuple[object, ...]) -> None:
            if event.startswith(TOUCHING) and next(count) == point:
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
    """A fresh scene for each file operation of `work`, just after a kill at that operation."""
    for point in itertools.count():
        with scene(before) as it:
            if not killed_at(point, lambda: work(it)):
                assert point > 10, "it touches more files than that"
                return
            yield it


@WORLDS
def test_a_killed_run_is_undone_by_the_next_wherever_it_was_killed(
    before: Contents, after: Contents
) -> None:
    """Only what was verified already is kept; then what is left to remove goes by the next plan."""
    with scene(before) as it:
        former, changes = it.essence(), bool(it.planned(after).changes)
    with scene(after) as it:
        wanted = it.seen()
    undone = 0
    for it in after_each_kill(before, lambda it: it.go(after)):
        verified = it.was_verified
        # A kill just after the end of the journal cannot be told from one after the whole.
        ended = not it.journal.path.exists() and it.essence() == wanted
        undone += bool(it.mend())
        assert not it.journal.path.exists()
        if changes and not verified and not ended:
            assert it.essence() == former
        it.go(after)
        assert not it.planned(after)
        assert it.seen() == wanted
    assert bool(undone) == changes


def test_a_run_killed_while_it_waits_for_the_site_is_undone() -> None:
    before, after = UPDATE
    with scene(before) as it:
        former = it.seen()
        child = os.fork()
        if child == 0:
            try:
                it.go(after, verify=lambda: os._exit(KILLED))
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
        assert it.seen() != former
        assert it.mend()
        assert it.seen() == former


@pytest.mark.parametrize(("before", "after"), [FIRST, UPDATE], ids=["first", "update"])
def test_undoing_may_be_killed_too_at_any_point_and_is_ended_by_the_next(
    before: Contents, after: Contents
) -> None:
    with scene(before) as it:
        former = it.essence()

    def half_done(it: Scene) -> None:
        """Leave what a run leaves that is killed when all changes are made."""
        with contextlib.suppress(SystemExit):
            it.go(after, failing(total, SystemExit()), refuse)

    with scene(before) as it:
        total = len(it.planned(after).changes)
    for point in itertools.count():
        with scene(before) as it:
            half_done(it)
            assert it.essence() != former
            if not killed_at(point, it.mend):
                break
            it.mend()
            assert it.essence() == former
            it.go(after)
            assert not it.planned(after)
    assert point > 10


def test_a_killed_run_then_a_killed_undo_lead_back_as_well() -> None:
    before, after = UPDATE
    with scene(before) as it:
        former = it.essence()
    total = sum(1 for _ in after_each_kill(before, lambda it: it.go(after)))
    for point in itertools.count():
        with scene(before) as it:
            assert killed_at(total // 2, lambda: it.go(after))
            assert not it.was_verified
            more = killed_at(point, it.mend)
            it.mend()
            assert it.essence() == former
            if not more:
                return


# -- the journal ----------------------------------------------------------------------------


def test_the_journal_is_for_its_owner_alone_and_is_gone_after_the_run() -> None:
    before, after = UPDATE
    seen: list[int] = []
    with scene(before) as it:
        it.go(after, verify=lambda: seen.append(stat.S_IMODE(it.journal.path.stat().st_mode)))
        assert seen == [0o600]
        assert not it.journal.path.exists()


def test_the_journal_never_holds_a_secret() -> None:
    """Not one that is made, nor one that was spoilt and is put right, nor one that is removed."""
    words = [b"sesame" + bytes([65 + number]) * 30 for number in range(3)]
    old, spoilt, new = (word.decode() for word in words)
    with scene({"a": "1", "secret-1": old, "secret-2": old}) as it:
        (it.files / "secret-2").chmod(0o600)
        (it.files / "secret-2").write_text(spoilt)
        journal, kept = it.journal, b""

        class Keeping(Journal):
            def end(self) -> None:
                nonlocal kept
                kept = self.path.read_bytes()
                super().end()

        it.journal = Keeping(journal.path, KINDS)
        it.go({"a": "2", "secret-2": old, "secret-3": new})
    text = kept.decode()
    assert "secret-1" in text
    assert "secret-3" in text
    for word in words:
        assert word not in kept
        assert base64.b64encode(word)[:20] not in kept


def test_a_killed_run_does_not_spoil_a_secret_whose_mode_was_wrong() -> None:
    """Its content is not in the journal; what undo cannot restore it leaves."""
    with scene({"a": "1", "secret-1": "s"}) as it:
        (it.files / "secret-1").chmod(0o644)
        steps = len(it.planned({"a": "2", "secret-1": "s"}).changes)
        with pytest.raises(HalfUndone):
            it.go({"a": "2", "secret-1": "s"}, failing(steps, Boom("x", "y")), refuse)
        assert it.mend()
        assert (it.files / "secret-1").read_text() == "s"
        it.go({"a": "2", "secret-1": "s"})
        assert stat.S_IMODE((it.files / "secret-1").stat().st_mode) == 0o400


def test_a_journal_that_was_cut_anywhere_in_its_last_line_is_read() -> None:
    before, after = UPDATE
    with scene(before) as it:
        with pytest.raises(HalfUndone):
            it.go(after, failing(len(it.planned(after).changes), Boom("x", "y")), refuse)
        whole = it.journal.path.read_bytes()
        lines = whole.splitlines(keepends=True)
        before_last = len(whole) - len(lines[-1])
        for end in range(before_last, len(whole) - 1):
            it.journal.path.write_bytes(whole[:end])
            assert len(it.journal.pending()) == len(lines) - 1
        it.journal.path.write_bytes(whole)
        assert len(it.journal.pending()) == len(lines)
