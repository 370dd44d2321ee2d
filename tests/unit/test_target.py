"""What people may call a site on the command line, and what is said when nothing is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostel.errors import UsageError
from hostel.target import TOOL, Target, resolve

HOSTEL = "[tool.hostel]\n"


def refused(text: str, cwd: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resolve(text, cwd)
    assert caught.value.remedy
    return caught.value


def test_without_a_target_it_is_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve() == Target(tmp_path.resolve())


def test_a_folder_with_a_site_file(tmp_path: Path) -> None:
    (tmp_path / "hostel.toml").touch()
    assert resolve(str(tmp_path)) == Target(tmp_path, tmp_path / "hostel.toml")
    assert resolve("hostel.toml", tmp_path) == Target(tmp_path, tmp_path / "hostel.toml")


def test_a_site_file_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "staging.toml").touch()
    assert resolve("staging.toml", tmp_path).site_file == tmp_path / "staging.toml"


def test_a_table_in_pyproject_is_a_site_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(HOSTEL)
    expected = Target(tmp_path, tmp_path / "pyproject.toml", TOOL)
    assert resolve(".", tmp_path) == resolve("pyproject.toml", tmp_path) == expected


def test_a_pyproject_without_that_table_is_none(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert resolve(".", tmp_path) == Target(tmp_path)
    assert "no table [tool.hostel]" in refused("pyproject.toml", tmp_path).happened


def test_a_broken_pyproject_is_a_site_file_if_it_seems_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.hostel]\nx = = 1\n")
    assert resolve(".", tmp_path).table == TOOL
    (tmp_path / "pyproject.toml").write_text("x = = 1\n")
    assert resolve(".", tmp_path) == Target(tmp_path)


def test_two_site_files_in_one_folder_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "hostel.toml").touch()
    (tmp_path / "pyproject.toml").write_text(HOSTEL)
    assert "there are two" in refused(".", tmp_path).happened
    assert resolve("hostel.toml", tmp_path).table == ()
    assert resolve("pyproject.toml", tmp_path).table == TOOL


@pytest.mark.parametrize("name", ["hello.py", "site.wsgi", "it's ü.py"])
def test_a_file_is_an_app_in_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "hostel.toml").touch()
    assert resolve(name, tmp_path) == Target(tmp_path, tmp_path / "hostel.toml", (), name)


def test_a_file_may_say_what_to_call(tmp_path: Path) -> None:
    (tmp_path / "hello.py").touch()
    assert resolve("hello.py:make()", tmp_path).app == "hello.py:make()"


def test_a_file_in_a_package_belongs_to_the_folder_of_the_package(tmp_path: Path) -> None:
    package = tmp_path / "shop" / "web"
    package.mkdir(parents=True)
    for file in (package.parent / "__init__.py", package / "__init__.py", package / "wsgi.py"):
        file.touch()
    assert resolve("shop/web/wsgi.py", tmp_path) == Target(tmp_path, app="shop/web/wsgi.py")


def test_a_module_is_taken_from_the_folder_one_is_in(tmp_path: Path) -> None:
    assert resolve("mysite.wsgi:application", tmp_path) == Target(
        tmp_path, app="mysite.wsgi:application"
    )
    assert resolve("pypiserver:app()", tmp_path).app == "pypiserver:app()"


def test_a_wsgi_file_that_is_there_wins_over_a_module(tmp_path: Path) -> None:
    (tmp_path / "mysite.wsgi").touch()
    assert resolve("mysite.wsgi:app", tmp_path).app == "mysite.wsgi:app"


def test_a_module_alone_is_told_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "hello.py").touch()
    assert "hello:application" in refused("hello", tmp_path).remedy


@pytest.mark.parametrize(
    "text", ["", "gone", "gone/", "gone.py", "gone.py:app", "gone.toml", "a b:c", "x:", ":", "a\0b"]
)
def test_what_is_not_there_is_said(tmp_path: Path, text: str) -> None:
    assert repr(text) in refused(text, tmp_path).doing


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert "neither a folder" in refused("notes.txt", tmp_path).happened


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    refused("loop/x", tmp_path)


def test_a_name_too_long_for_the_system_is_refused(tmp_path: Path) -> None:
    assert "too long" in refused("x" * 5000, tmp_path).happened


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1))
def test_anything_else_is_a_target_or_a_usage_error(tmp_path: Path, text: str) -> None:
    try:
        root = resolve(text, tmp_path).root
    except UsageError:
        return
    assert root.is_absolute()
