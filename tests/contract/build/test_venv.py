"""Environments made by a real uv, from wheels that need no network."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hostel import venv
from hostel.errors import HostelError
from hostel.interpreter import Interpreter
from hostel.machine import Machine

from .conftest import Project, Wheel

pytestmark = pytest.mark.usefixtures("no_index")

Ensure = Callable[[Path], tuple[Path, list[str]]]


@pytest.fixture
def ensure(place: Path, machine: Machine, python: Interpreter) -> Ensure:
    """Makes the venv of a project; returns it and what was said about the work."""

    def run(root: Path) -> tuple[Path, list[str]]:
        said: list[str] = []
        return venv.ensure(root, python, place / "venvs", machine, said.append), said

    return run


def python_says(made: Path, text: str) -> str:
    ran = subprocess.run(
        [made / "bin" / "python", "-c", text], capture_output=True, text=True, check=True, cwd="/"
    )
    return ran.stdout.strip()


def test_requirements_are_installed_once(project: Project, wheel: Wheel, ensure: Ensure) -> None:
    wheel("thing")
    root = project({"requirements.txt": "-r more.txt\n", "more.txt": "thing==1.0\n"})
    made, said = ensure(root)
    assert said == ["installing requirements.txt"]
    assert python_says(made, "import thing; print(thing.version)") == "1.0"
    began = time.monotonic()
    assert ensure(root) == (made, [])
    assert time.monotonic() - began < 0.1


def test_another_requirement_in_an_included_file_is_another_environment(
    project: Project, wheel: Wheel, ensure: Ensure
) -> None:
    wheel("thing")
    wheel("thing", "2.0")
    root = project({"requirements.txt": "-r more.txt\n", "more.txt": "thing==1.0\n"})
    first, _ = ensure(root)
    project({"more.txt": "thing==2.0\n"})
    second, _ = ensure(root)
    assert first != second
    assert python_says(first, "import thing; print(thing.version)") == "1.0"
    assert python_says(second, "import thing; print(thing.version)") == "2.0"


def test_a_project_brings_its_dependencies_its_metadata_and_none_of_its_code(
    project: Project, wheel: Wheel, ensure: Ensure
) -> None:
    wheel("thing")
    made, _ = ensure(
        project(
            {
                "pyproject.toml": '[project]\nname = "my-shop"\nversion = "1.2"\n'
                'dependencies=["thing"]\n'
                '[project.scripts]\nshop = "shop.cli:main"\n'
                '[build-system]\nrequires = ["nowhere"]\nbuild-backend = "nowhere"\n',
                "shop/__init__.py": "",
                "shop/cli.py": "def main(): print('from the release')\n",
            }
        )
    )
    about = "import importlib.metadata as m, thing; print(m.version('my-shop'), end=' '); "
    about += "print([e.value for e in m.entry_points(group='console_scripts', name='shop')])"
    assert python_says(made, about) == "1.2 ['shop.cli:main']"
    assert list(made.glob("lib/*/site-packages/shop*")) == []
    ran = subprocess.run(
        [made / "bin" / "shop"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(made.parents[1] / "project")},
    )
    assert ran.stdout == "from the release\n"


def test_the_project_in_its_own_requirements_is_no_install_of_its_code(
    project: Project, wheel: Wheel, ensure: Ensure
) -> None:
    wheel("thing")
    made, _ = ensure(
        project(
            {
                "requirements.txt": "-e .\n",
                "shop.py": "",
                "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n'
                'dependencies = ["thing"]\n',
            }
        )
    )
    assert python_says(made, "import thing; print(thing.version)") == "1.0"
    assert list(made.glob("lib/*/site-packages/*.pth")) == []


def test_a_lock_is_followed_to_the_letter(
    project: Project, wheel: Wheel, ensure: Ensure, place: Path, python: Interpreter
) -> None:
    from hostel import uvtool

    wheel("thing")
    wheel("other")
    root = project(
        {
            "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\n'
            'requires-python = ">=3.11"\n'
            'dependencies = ["thing"]\n[dependency-groups]\ndev = ["other"]\n',
        }
    )
    arguments = ["lock", "--python", str(python.path), "--no-index"]
    locked = uvtool.run(Machine(), [*arguments, "-f", str(place / "wheels")], cwd=root)
    assert locked.ok, locked.err
    wheel("thing", "2.0")
    made, said = ensure(root)
    assert said == ["installing uv.lock"]
    assert python_says(made, "import thing; print(thing.version)") == "1.0"
    assert list(made.glob("lib/*/site-packages/other*")) == []
    assert not (root / ".venv").exists()


def test_a_project_without_requirements_gets_an_empty_environment(
    project: Project, ensure: Ensure
) -> None:
    made, said = ensure(project({"app.py": ""}))
    assert said == ["making an empty environment"]
    assert python_says(made, "import sys; print(sys.prefix)") == str(made)


def test_the_runner_may_read_all_of_it_whatever_the_umask(
    project: Project, wheel: Wheel, ensure: Ensure, machine: Machine, strict_umask: None
) -> None:
    wheel("thing")
    root = project({"requirements.txt": "thing\n"})
    (root / "requirements.txt").chmod(0o644)
    made, _ = ensure(root)
    for folder, _, files in os.walk(made):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o755
        for name in files:
            assert machine.first_closed(Path(folder, name).resolve(), machine.runner) is None
    assert list(made.glob("lib/*/site-packages/__pycache__/thing.*.pyc"))


def test_one_that_was_left_half_made_is_made_again(
    project: Project, wheel: Wheel, ensure: Ensure
) -> None:
    wheel("thing")
    root = project({"requirements.txt": "thing\n"})
    made, _ = ensure(root)
    (made / venv.MARKER).unlink()
    (made / "stray").touch()
    assert ensure(root) == (made, ["installing requirements.txt"])
    assert not (made / "stray").exists()


def test_one_whose_python_has_gone_is_made_again(project: Project, ensure: Ensure) -> None:
    root = project({"app.py": ""})
    made, _ = ensure(root)
    (made / "bin" / "python").unlink()
    (made / "bin" / "python").symlink_to("/nowhere/python3")
    assert ensure(root)[1]
    assert python_says(made, "print(1)") == "1"


def test_a_requirement_that_cannot_be_had_leaves_nothing(
    project: Project, ensure: Ensure, place: Path
) -> None:
    with pytest.raises(HostelError) as caught:
        ensure(project({"requirements.txt": "no-such-thing-at-all\n"}))
    assert caught.value.doing == "installing requirements.txt"
    assert "no-such-thing-at-all" in caught.value.detail
    assert list((place / "venvs").iterdir()) == []


def test_a_line_that_cannot_be_read_is_told_by_the_name_of_its_file(
    project: Project, ensure: Ensure
) -> None:
    with pytest.raises(HostelError) as caught:
        ensure(project({"requirements.txt": "flask=3\n"}))
    assert "requirements.txt" in caught.value.happened
    assert "/tmp" not in caught.value.happened


def test_a_package_that_cannot_be_built_is_named(project: Project, ensure: Ensure) -> None:
    root = project(
        {
            "requirements.txt": "./broken\n",
            "broken/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
            'backend-path = ["."]\n',
            "broken/backend.py": "def build_wheel(*a, **k): raise RuntimeError('no way')\n",
        }
    )
    with pytest.raises(HostelError) as caught:
        ensure(root)
    assert "cannot be built" in caught.value.happened
    assert "no way" in caught.value.detail
