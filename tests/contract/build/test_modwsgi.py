"""Finding httpd and building mod_wsgi for it, with the real compiler."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hostel import httpd_build, modwsgi
from hostel.errors import HostelError
from hostel.httpd_build import Httpd
from hostel.interpreter import Interpreter
from hostel.machine import Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def httpd() -> Httpd:
    return httpd_build.find(Machine())


@pytest.fixture(scope="module")
def built(
    httpd: Httpd, python: Interpreter, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A cache and the module built in it, under a umask that closes everything."""
    cache = tmp_path_factory.mktemp("cache") / "hostel"
    before = os.umask(0o077)
    try:
        return cache, modwsgi.module_for(python, httpd, cache, Machine(), lambda _: None)
    finally:
        os.umask(before)


def again(cache: Path, httpd: Httpd, python: Interpreter) -> tuple[Path, list[str]]:
    said: list[str] = []
    return modwsgi.module_for(python, httpd, cache, Machine(), said.append), said


def test_httpd_tells_its_version_modules_and_what_is_built_in(httpd: Httpd) -> None:
    assert httpd.version.startswith("2.4.")
    assert "mod_so.c" in httpd.builtin
    assert (httpd.modules_dir / "mod_ssl.so").exists()
    assert httpd.binary.name in ("apache2", "httpd")
    assert httpd.mmn.count(":") == 1


def test_a_missing_httpd_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(httpd_build, "LINUX_BINARIES", ("/bin/true",))
    monkeypatch.setattr(httpd_build, "MAC_PREFIXES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostelError, match="not installed") as caught:
        httpd_build.find(Machine())
    assert caught.value.remedy


def test_the_module_is_loaded_by_this_httpd(
    built: tuple[Path, Path], httpd: Httpd, tmp_path: Path
) -> None:
    conf = tmp_path / "httpd.conf"
    lines = [f"LoadModule wsgi_module {built[1]}", "ServerName x", "WSGIScriptAlias / /x"]
    lines.append(f"ErrorLog {tmp_path}/error.log")
    if "event.c" not in httpd.builtin:
        lines.insert(0, f"LoadModule mpm_event_module {httpd.modules_dir}/mod_mpm_event.so")
    conf.write_text("\n".join([*lines, ""]))
    ran = subprocess.run([httpd.binary, "-t", "-f", conf], capture_output=True, text=True)
    assert "Syntax OK" in ran.stderr


def test_everybody_may_read_it_whatever_the_umask(built: tuple[Path, Path]) -> None:
    cache, module = built
    assert stat.S_IMODE(module.stat().st_mode) == 0o644
    folders = (cache, module.parent, module.parent.parent)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o755}
    assert [one.name for one in module.parent.parent.glob(".new-*")] == []


def test_libraries_are_looked_for_in_no_folder_that_others_can_make(
    built: tuple[Path, Path], python: Interpreter
) -> None:
    if not shutil.which("readelf"):
        pytest.skip("no readelf here")
    said = subprocess.run(["readelf", "-d", built[1]], capture_output=True, text=True).stdout
    paths = [
        part
        for line in said.splitlines()
        if "RUNPATH" in line or "RPATH" in line
        for part in line.partition("[")[2].rstrip("]").split(":")
    ]
    ours = (str(built[0]), str(python.libdir), str(python.base_prefix))
    assert [path for path in paths if not path.startswith(ours)] == []


def test_a_second_call_builds_nothing(
    built: tuple[Path, Path], httpd: Httpd, python: Interpreter
) -> None:
    assert again(built[0], httpd, python) == (built[1], [])


def test_another_python_or_httpd_is_another_module(
    built: tuple[Path, Path], httpd: Httpd, python: Interpreter
) -> None:
    lame = replace(httpd, apxs=None)
    for other_python, other_httpd in (
        (replace(python, version="3.11.99"), lame),
        (replace(python, base_prefix=Path("/opt/python")), lame),
        (python, replace(lame, version="2.4.999")),
        (python, replace(lame, mmn="20120211:999")),
    ):
        with pytest.raises(HostelError, match="apxs is missing"):
            again(built[0], other_httpd, other_python)


@pytest.mark.parametrize("harm", ["cut", "empty", "no facts", "half facts"])
def test_a_damaged_one_is_not_used(
    built: tuple[Path, Path], httpd: Httpd, python: Interpreter, harm: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(built[0], cache)
    module = cache / built[1].relative_to(built[0])
    if harm == "cut":
        os.truncate(module, 1000)
    elif harm == "empty":
        module.write_bytes(b"")
    elif harm == "no facts":
        (module.parent / "built-for.json").unlink()
    else:
        os.truncate(module.parent / "built-for.json", 20)
    with pytest.raises(HostelError, match="apxs is missing"):
        again(cache, replace(httpd, apxs=None), python)


def test_a_damaged_one_is_built_again(
    built: tuple[Path, Path], httpd: Httpd, python: Interpreter, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(built[0], cache)
    module = cache / built[1].relative_to(built[0])
    os.truncate(module, 1000)
    (module.parent.parent / ".new-left").mkdir()
    path, said = again(cache, httpd, python)
    assert path == module
    assert len(said) == 1
    assert module.stat().st_size > 100_000
    assert not (module.parent.parent / ".new-left").exists()


def test_what_is_missing_to_build_is_named(
    httpd: Httpd, python: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HostelError, match=r"Python\.h"):
        again(tmp_path, httpd, replace(python, include_ok=False))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(HostelError, match="no C compiler"):
        again(tmp_path, httpd, python)


def test_a_network_that_is_down_is_named(
    httpd: Httpd, python: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(HostelError, match="cannot be reached") as caught:
        again(tmp_path, httpd, python)
    assert caught.value.detail
    assert [one.name for one in (tmp_path / "mod_wsgi").iterdir()] == [".lock"]
