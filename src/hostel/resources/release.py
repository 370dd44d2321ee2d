"""Releases of sites on a server: built whole, or not there.

How one is built is `hostel.release`; this only ties it into a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hostel import release, venv
from hostel.errors import HostelError
from hostel.machine import Machine
from hostel.plan import Change, Key, State, key, name_of
from hostel.resources.folder import folder_key


@dataclass(frozen=True, kw_only=True)
class ReleaseState(State):
    """A whole release; `venv` is the folder of what its app imports from others, `module` the
    file of the mod_wsgi that runs it."""

    venv: str
    module: str


def release_key(site: str, release_id: str) -> Key:
    return key("release", f"{site}/{release_id}")


class Releases:
    """The releases of all sites, below `srv`; `builders` make one, by its key."""

    def __init__(self, srv: Path, builders: Mapping[Key, Callable[[], release.Release]]) -> None:
        self.srv = srv
        self.builders = builders

    def observe(self, which: Key, machine: Machine) -> ReleaseState | None:
        folder = self._folder(which)
        if not release.is_whole(folder):
            return None
        said = release.facts(folder, machine)
        place = folder.parent.parent / "venvs" / str(said.get("venv"))
        module = str(said.get("module", ""))
        if not venv.is_whole(place) or not Path(module).is_file():
            return None
        needs = tuple(map(folder_key, (*folder.parents, *place.parents)))
        return ReleaseState(venv=str(place), module=module, needs=needs)

    def enact(self, change: Change, machine: Machine) -> None:
        folder = self._folder(change.key)
        if change.after is None:
            assert isinstance(change.before, ReleaseState)
            self._remove(folder, Path(change.before.venv), machine)
            return
        assert isinstance(change.after, ReleaseState)
        if change.key not in self.builders:
            if self._is_there(folder, change.after, machine):
                release.note_module(folder, change.after.module, machine)
                return
            raise HostelError(
                f"making the release {folder.name} again",
                "a part of it is gone, and its project is not at hand",
                "Run `hostel apply` in the project.",
            )
        built = self.builders[change.key]()
        if built.id != folder.name:
            raise HostelError(
                "building the release",
                "the project was changed meanwhile",
                "Run the same command again when its files are at rest.",
            )

    def _remove(self, folder: Path, venv_of_it: Path, machine: Machine) -> None:
        """Remove it, and its environment when no other release runs in that."""
        # First what says that it is whole: half a release must not be taken for one.
        machine.remove(folder / release.FACTS)
        machine.remove(folder)
        others = folder.parent.glob("*/")
        if venv_of_it.name not in {release.facts(one, machine).get("venv") for one in others}:
            machine.remove(venv_of_it)

    @staticmethod
    def _is_there(folder: Path, wanted: ReleaseState, machine: Machine) -> bool:
        """Whether only what it is run with was another meanwhile."""
        same = release.facts(folder, machine).get("venv") == Path(wanted.venv).name
        return same and venv.is_whole(Path(wanted.venv)) and Path(wanted.module).is_file()

    def _folder(self, which: Key) -> Path:
        site, _, name = name_of(which).partition("/")
        return self.srv / site / "releases" / name
