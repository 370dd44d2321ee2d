"""Releases of sites as a kind of thing: put back, taken away with what only they used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostel import release, venv
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change
from hostel.resources.release import Releases, ReleaseState, release_key

OLD, NEW = release_key("shop", "aaaa"), release_key("shop", "bbbb")


class Scene:
    """Whole releases, each with the name of its venv, and a module that runs them."""

    def __init__(self, root: Path) -> None:
        self.site, self.module = root / "shop", root / "mod_wsgi.so"
        self.module.touch()
        self.kind = Releases(root, {})
        self.machine = Machine()

    def whole(self, name: str, environment: str) -> Path:
        place = self.site / "venvs" / environment
        (place / "bin").mkdir(parents=True, exist_ok=True)
        (place / "bin" / "python").touch()
        (place / venv.MARKER).touch()
        folder = self.site / "releases" / name
        folder.mkdir(parents=True)
        said = {"venv": environment, "module": str(self.module)}
        (folder / release.FACTS).write_text(json.dumps(said))
        return folder

    def seen(self, which: str) -> ReleaseState | None:
        return self.kind.observe(release_key("shop", which), self.machine)


@pytest.fixture
def it(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_environment_goes_with_the_last_release_that_runs_in_it(it: Scene) -> None:
    first, second = it.whole("aaaa", "shared"), it.whole("bbbb", "shared")
    it.whole("cccc", "other")
    for which, folder, left in ((OLD, first, {"shared", "other"}), (NEW, second, {"other"})):
        state = it.seen(folder.name)
        assert state is not None
        it.kind.enact(Change(which, state, None), it.machine)
        assert not folder.exists()
        assert {path.name for path in (it.site / "venvs").iterdir()} == left


def test_half_a_release_goes_with_half_an_environment(it: Scene) -> None:
    folder, place = it.site / "releases" / "aaaa", it.site / "venvs" / "half"
    for half in (folder / "code", place / "lib"):
        half.mkdir(parents=True)
    wanted = ReleaseState(venv=str(place), module=str(it.module))
    it.kind.enact(Change(OLD, wanted, None), it.machine)
    assert not folder.exists()
    assert not place.exists()


def test_a_release_is_run_with_the_former_module_again_without_its_project(it: Scene) -> None:
    it.whole("aaaa", "one")
    former = it.seen("aaaa")
    newer = it.module.with_name("newer.so")
    newer.touch()
    release.note_module(it.site / "releases" / "aaaa", str(newer), it.machine)
    now = it.seen("aaaa")
    assert now != former
    it.kind.enact(Change(OLD, now, former), it.machine)
    assert it.seen("aaaa") == former


def test_what_is_gone_cannot_be_put_back_without_its_project(it: Scene) -> None:
    wanted = ReleaseState(venv=str(it.site / "venvs" / "one"), module=str(it.module))
    with pytest.raises(HostelError, match="its project is not at hand"):
        it.kind.enact(Change(OLD, None, wanted), it.machine)
