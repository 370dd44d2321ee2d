"""The engine on real files and a server that reads them: failures and kills at every point."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
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
from hostel.errors import HostelError, RolledBack
from hostel.journal import Journal
from hostel.machine import Machine
from hostel.plan import Change, Key, Plan, State, key, name_of, plan
from hostel.platforms.private import machine_here
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
        self.files = root / "files"
        self.record, self.conf = root / "record", self.files / "conf"
        self.journal = Journal(root / "journal", KINDS)
        self.files.mkdir()

    def world(self, wrap: Callable[[Resource], Resource] = lambda inner: inner) -> World:
        kinds: dict[str, Resource] = {
            "file": wrap(Files()),
            "server": wrap(Readers(self.conf, self.record)),
        }
        return World(kinds, self.machine)

    def wanted(self, contents: Contents) -> dict[Key, State]:
        if not contents:
            return {}
        read = sorted(name for name in contents if not name.startswith("un"))
        conf = "".join(f"{name}\n" for name in read)
        owner, states = self.machine.runner, dict[Key, State]()
        for name, text in {**contents, "conf": conf}.items():
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
REMOVAL: tuple[Contents, Contents] = ({"a": "1", "secret-1": "s", "un1": "x", "un2": "y"}, {"a": "1"})
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
        assert "files/secret-1" not in it.seen()


@pytest.mark.parametrize(("before", "after"), [UPDATE, REMOVAL], ids=["update", "removal"])
def test_a_removal_that_fails_keeps_the_new_world_and_the_next_run_ends_it(
    before: Contents, after: Contents
) -> None:
    with scene(before) as it:
        steps = it.planned(after)
        for at in range(2 * len(steps.removals)):
            with contextlib.suppress(Boom):
                it.go(after, failing(len(it.planned(after).changes) + at / 2, Boom("x", "y")))
            assert not recover(it.world(), it.journal), "what was verified is not undone"
            assert not it.planned(after).changes
        it.go(after)
        assert not it.planned(after)


def test_an_undo_that_fails_is_ended_by_the_next_run() -> None:
    before, after = UPDATE
    with scene(before) as it:
        former = it.seen()
        total = len(it.planned(after).changes)
        for at in range(2 * total):
            with pytest.raises(Boom):
                it.go(after, failing(total + at / 2, Boom("undoing", "no luck")), refuse)
            if at == 2 * total - 1:
                break
            assert recover(it.world(), it.journal)
            assert it.seen() == former


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
        world.resources = {**world.resources, "server": Idle(it.conf, it.record)}
        with pytest.raises(RolledBack, match="still not as it should be"):
            apply(it.planned({"a": "1"}), world, it.journal, lambda: None, lambda change: None)
        assert it.seen() == {}


def test_what_ran_once_is_forgotten_by_undo_and_runs_again() -> None:
    with scene({"a": "1"}) as it:
        ran: list[str] = []
        (it.root / "done").mkdir()
        once = Once(it.root / "done", {"hook": lambda: ran.append("hook")})
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


@WORLDS
def test_a_killed_run_is_undone_by_the_next_wherever_it_was_killed(
    before: Contents, after: Contents
) -> None:
    """But not if it was verified already: then what is left is done by the next plan."""
    undone, point = 0, 0
    while True:
        with scene(before) as it:
            former = it.essence()
            if not killed_at(point, lambda: it.go(after)):  # noqa: B023
                break
            verified = b"verified" in (it.machine.read(it.journal.path) or b"")
            changes = recover(it.world(), it.journal)
            undone += bool(changes)
            if verified or not (it.planned(after).changes or before):
                assert not changes
            elif it.planned(after).changes:
                assert it.essence() == former
            it.go(after)
            assert not it.planned(after), f"killed at file operation {point}"
            with scene(after) as fresh:
                assert it.seen() == fresh.seen()
        point += 1
    assert point > 10
    assert undone > 5 or not Scene_changes(before, after)


def Scene_changes(before: Contents, after: Contents) -> bool:  # noqa: N802
    with scene(before) as it:
        return bool(it.planned(after).changes)
