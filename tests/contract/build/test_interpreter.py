"""Choosing a Python among those of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostel import interpreter
from hostel.errors import HostelError, UsageError
from hostel.interpreter import Interpreter, choose, wish_of
from hostel.machine import Machine

from .conftest import Project


def test_without_a_wish_any_usable_python_will_do(python: Interpreter) -> None:
    assert python.shared
    assert python.include_ok
    assert python.path.is_absolute()
    assert not python.path.is_symlink()
    said = subprocess.run([python.path, "-V"], capture_output=True, text=True, check=True).stdout
    assert said.split()[1].startswith(python.version)


def test_the_system_s_own_needs_no_uv(
    python: Interpreter, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if python.path.parent != Path("/usr/bin"):
        pytest.skip("the system's own Python is not usable here")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("uv was asked")

    monkeypatch.setattr("hostel.uvtool.run", never)
    assert choose(python.version, Path("/"), machine) == python


def test_the_site_file_goes_before_the_files_of_tools(project: Project) -> None:
    root = project(
        {
            ".python-version": "# ours\n\n3.12.1\n",
            "pyproject.toml": '[project]\nrequires-python = ">=3.11"\n',
        }
    )
    assert wish_of("3.13", root).text == "3.13"
    assert (wish_of(None, root).text, wish_of(None, root).source) == ("3.12.1", ".python-version")
    (root / ".python-version").unlink()
    assert wish_of(None, root).text == ">=3.11"
    (root / "pyproject.toml").write_text('[tool.poetry.dependencies]\npython = "^3.11"\n')
    assert wish_of(None, root).text == "^3.11"
    (root / "pyproject.toml").unlink()
    assert wish_of(None, root).text == ""


def test_a_wish_that_cannot_be_read_is_a_mistake_in_its_file(
    project: Project, machine: Machine
) -> None:
    with pytest.raises(UsageError, match=r"\.python-version.*banana"):
        choose(None, project({".python-version": "banana\n"}), machine)


def test_every_python_that_was_looked_at_is_listed_with_its_reason(
    project: Project, machine: Machine
) -> None:
    with pytest.raises(HostelError) as caught:
        choose("3.99", project({}), machine)
    assert "3.99" in caught.value.happened
    assert "uv python install 3.99" in caught.value.remedy
    assert "the site file" in caught.value.remedy
    running = ".".join(map(str, sys.version_info[:3]))
    assert any(running in line for line in caught.value.detail.splitlines())


def test_a_virtual_environment_stands_for_the_python_it_was_made_from(
    python: Interpreter, machine: Machine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([python.path, "-m", "venv", "--without-pip", place / "v"], check=True)
    monkeypatch.setattr(interpreter, "SYSTEM_FOLDERS", (str(place / "v" / "bin"),))
    assert choose(None, place, machine) == python


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs sites as somebody else")
def test_a_python_in_a_closed_folder_is_refused_by_that_folder_s_name(
    machine: Machine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "closed").mkdir(mode=0o700)
    script = place / "closed" / "python3"
    facts = {"executable": str(script), "version": "3.13.99", "final": True, "stdlib": "/usr"}
    script.write_text(f"#!/bin/sh\necho '{json.dumps({**facts, 'library': ''})}'\n")
    script.chmod(0o755)
    monkeypatch.setattr(interpreter, "SYSTEM_FOLDERS", (str(place / "closed"),))
    with pytest.raises(HostelError) as caught:
        choose("3.13.99", place, machine)
    expected = f"{script} (3.13.99): {machine.runner.name} cannot read {place / 'closed'}"
    assert expected in caught.value.detail
    assert "UV_PYTHON_INSTALL_DIR" in caught.value.remedy


def test_a_program_that_is_no_python_is_passed_by(
    machine: Machine, place: Path, python: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "python3").write_text("#!/bin/sh\necho hello\nexit 3\n")
    (place / "python3").chmod(0o755)
    folders = (str(place), *interpreter.SYSTEM_FOLDERS)
    monkeypatch.setattr(interpreter, "SYSTEM_FOLDERS", folders)
    assert choose(python.version, place, machine) == python
