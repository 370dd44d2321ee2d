"""A place the runner can enter, real interpreters, and packages that need no network."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostel import interpreter
from hostel.errors import HostelError
from hostel.interpreter import Interpreter
from hostel.machine import Machine
from hostel.platforms.private import machine_here

Project = Callable[[dict[str, str]], Path]
Wheel = Callable[..., Path]


@pytest.fixture
def machine() -> Machine:
    return machine_here()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder outside pytest's own, which only its maker may enter."""
    folder = Path(tempfile.mkdtemp(prefix="hostel-test-")).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(place: Path) -> Project:
    """Writes a project; names ending in "/" are folders."""

    def write(files: dict[str, str]) -> Path:
        root = place / "project"
        root.mkdir(exist_ok=True)
        root.chmod(0o755)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_text(text)
        return root

    return write


@pytest.fixture
def wheel(place: Path) -> Wheel:
    """Makes a wheel of one module and has uv find it."""

    def make(name: str, version: str = "1.0", text: str = "") -> Path:
        folder = place / "wheels"
        folder.mkdir(exist_ok=True)
        about = f"{name}-{version}.dist-info"
        path = folder / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.py", text or f"version = {version!r}\n")
            archive.writestr(
                f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            archive.writestr(
                f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{about}/RECORD", "")
        return path

    return make


@pytest.fixture
def no_index(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv sees the wheels of the test and nothing else."""
    (place / "wheels").mkdir(exist_ok=True)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(place / "wheels"))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(scope="session")
def python() -> Interpreter:
    try:
        return interpreter.choose(None, Path("/"), machine_here())
    except HostelError as error:
        pytest.skip(f"{error}; {error.remedy}")


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    with contextlib.ExitStack() as stack:
        stack.callback(os.umask, before)
        yield
