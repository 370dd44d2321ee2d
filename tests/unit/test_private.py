"""Where the state of a site lies, and that its folders let an app replace none of it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.errors import UsageError
from hostel.machine import Machine
from hostel.platforms import private
from hostel.platforms.layout import Layout
from hostel.project import open_place
from hostel.rundir import run_dir

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def machine() -> Machine:
    return private.machine_here()


@pytest.fixture
def project() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hostel-test-")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_state_lies_beside_the_site_file(project: Path, machine: Machine) -> None:
    assert private.state_folder(project, None, machine) == project / ".hostel"


def test_a_given_folder_is_taken_and_made_absolute(
    project: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert private.state_folder(project, project / "st", machine) == project / "st"
    monkeypatch.chdir(project)
    assert private.state_folder(project, Path("a/../st"), machine) == project / "st"


def test_a_link_is_followed_but_by_root_only_when_it_was_named(
    project: Path, machine: Machine
) -> None:
    link = project / ".hostel"
    (project / "elsewhere").mkdir()
    link.symlink_to("elsewhere")
    assert private.state_folder(project, link, machine) == project / "elsewhere"
    if machine.is_root:
        with pytest.raises(UsageError, match="did not make"):
            private.state_folder(project, None, machine)
    else:
        assert private.state_folder(project, None, machine) == project / "elsewhere"


def test_a_state_folder_that_came_with_the_project_is_not_believed(
    project: Path, machine: Machine
) -> None:
    state = project / ".hostel"
    state.mkdir()
    private.check_made_here(state, machine)  # An empty one says nothing.
    (state / "journal").write_text("{}")
    with pytest.raises(UsageError, match="not made by Hostel on this machine"):
        private.check_made_here(state, machine)
    (state / private.MARK).write_text("0" * 32)
    with pytest.raises(UsageError, match="not made by Hostel on this machine"):
        private.check_made_here(state, machine)


def test_a_state_folder_made_here_is_known_again_even_when_the_project_moves(
    project: Path, machine: Machine
) -> None:
    private.prepare(project / ".hostel", project, machine)
    mark = private.marks_folder(machine) / (project / ".hostel" / private.MARK).read_text()
    try:
        private.check_made_here(project / ".hostel", machine)
        (project / ".hostel").rename(project / "moved")
        private.check_made_here(project / "moved", machine)
    finally:
        mark.unlink()


@root_only
def test_as_root_a_project_others_cannot_enter_has_its_state_elsewhere(
    project: Path, machine: Machine
) -> None:
    project.chmod(0o700)
    state = private.state_folder(project, None, machine)
    assert state.parent == private.SHARED_STATE
    assert state.name.startswith("hostel-test-")
    assert private.state_folder(project, None, machine) == state
    (project / "other").mkdir()
    assert private.state_folder(project / "other", None, machine) != state


@root_only
def test_as_root_a_given_folder_others_cannot_enter_is_refused_with_its_name(
    project: Path, machine: Machine
) -> None:
    (project / "closed").mkdir(0o700)
    with pytest.raises(UsageError, match="cannot enter") as caught:
        private.state_folder(project, project / "closed" / "st", machine)
    assert f"chmod o+x {project / 'closed'}" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root has its runner")
def test_an_ordinary_user_is_their_own_runner(machine: Machine) -> None:
    assert machine.runner == machine.me


@root_only
def test_root_never_runs_a_site_as_root(machine: Machine) -> None:
    assert machine.runner.uid != 0


def test_preparing_makes_every_folder_and_again_changes_nothing(
    project: Path, machine: Machine
) -> None:
    state = project / "deep" / "er" / ".hostel"
    private.prepare(state, project, machine)

    def seen() -> dict[str, tuple[int, int]]:
        return {
            str(path.relative_to(project)): (path.stat().st_mode, path.stat().st_uid)
            for path in project.rglob("*")
        }

    first = seen()
    layout = Layout(state, run_dir(state, machine))
    for folder in (layout.instance, layout.log, layout.releases, layout.venvs, layout.data):
        assert folder.is_dir()
    assert (state / ".gitignore").read_text() == "*\n"
    layout.error_log.write_text("kept")
    private.prepare(state, project, machine)
    assert seen() == first
    assert layout.error_log.read_text() == "kept"


@root_only
def test_the_runner_may_write_its_logs_and_data_and_replace_nothing(
    project: Path, machine: Machine
) -> None:
    state = project / ".hostel"
    private.prepare(state, project, machine)
    layout = Layout(state, run_dir(state, machine))
    for folder in (state, layout.instance, layout.log, layout.releases, layout.done):
        info = folder.stat()
        assert info.st_uid == 0
        assert not stat.S_IMODE(info.st_mode) & 0o022
    for path in (layout.error_log, layout.access_log, layout.console, layout.data):
        assert path.stat().st_uid == machine.runner.uid
    assert stat.S_IMODE(layout.error_log.stat().st_mode) == 0o640


def test_a_state_folder_open_to_all_is_closed(project: Path, machine: Machine) -> None:
    state = project / ".hostel"
    state.mkdir()
    state.chmod(0o777)
    private.prepare(state, project, machine)
    assert stat.S_IMODE(state.stat().st_mode) == 0o755


def test_a_log_that_has_grown_is_moved_aside(project: Path, machine: Machine) -> None:
    state = project / ".hostel"
    private.prepare(state, project, machine)
    log = Layout(state, state / "run").error_log
    os.truncate(log, 10_000_001)
    private.prepare(state, project, machine)
    assert log.stat().st_size == 0
    assert log.with_suffix(".log.1").stat().st_size == 10_000_001


def test_a_path_that_is_not_ascii_has_a_plain_name_in_the_run_folder(
    project: Path, machine: Machine
) -> None:
    state = project / "stäte"
    private.prepare(state, project, machine)
    layout = Layout(state, run_dir(state, machine))
    venv = layout.venvs / "one"
    for _ in range(2):
        link = private.plain_path(venv, layout, machine)
        assert str(link).isascii()
        assert link.readlink() == venv
    assert private.plain_path(Path("/plain"), layout, machine) == Path("/plain")
    shutil.rmtree(layout.run)


def test_tidying_takes_empty_folders_and_half_written_files_and_nothing_else(
    project: Path, machine: Machine
) -> None:
    state = project / ".hostel"
    private.prepare(state, project, machine)
    layout = Layout(state, run_dir(state, machine))
    (layout.instance / "old").mkdir()
    (layout.instance / "new").mkdir()
    (layout.instance / "new" / "boot.json").write_text("{}")
    machine.write(layout.conf, b"conf", 0o644)
    for folder in (state, layout.instance, layout.done):
        (folder / ".hostel-abc123").write_text("half")
    private.tidy(layout)
    assert not (layout.instance / "old").exists()
    assert (layout.instance / "new" / "boot.json").exists()
    assert layout.conf.exists()
    assert not list(state.rglob(".hostel-*"))
    assert (state / ".gitignore").exists()


@pytest.mark.parametrize("name", ["new\nline", "tab\tbed", os.fsdecode(b"latin\xe4")])
def test_a_folder_no_httpd_can_be_told_is_refused_before_anything_is_made(
    project: Path, machine: Machine, name: str
) -> None:
    folder = project / name
    folder.mkdir()
    (folder / "hostel.toml").write_text('app = "app:app"\n')
    with pytest.raises(UsageError, match="its name holds") as caught:
        open_place(str(folder), None, machine)
    assert "Rename the folder" in caught.value.remedy
    assert [path.name for path in folder.iterdir()] == ["hostel.toml"]


def test_paths_in_releases_are_told_as_paths_in_the_project() -> None:
    layout = Layout(Path("/srv/a.b/.hostel"), Path("/run/x"))
    said = 'File "/srv/a.b/.hostel/releases/0123abcd/code/shop/wsgi.py", line 1'
    assert layout.in_project(said) == 'File "shop/wsgi.py", line 1'
    assert layout.in_project("/srv/aXb/.hostel/releases/0/code/x").startswith("/srv/aXb")
