"""What a project needs, as its files say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostel.errors import UsageError
from hostel.requirements import metadata, needs_of

PYPROJECT = '[project]\nname = "shop"\nversion = "1.2"\ndependencies = ["flask"]\n'


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


def test_nothing_is_needed_where_nothing_is_said(tmp_path: Path) -> None:
    assert needs_of(tmp_path).kind == "none"


def test_a_pyproject_of_tool_settings_only_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, pyproject__toml="[tool.ruff]\nline-length = 100\n")
    assert needs_of(tmp_path).kind == "none"


def test_a_lock_goes_before_requirements_and_those_before_a_project(tmp_path: Path) -> None:
    write(tmp_path, pyproject__toml=PYPROJECT)
    assert needs_of(tmp_path).kind == "project"
    write(tmp_path, requirements__txt="flask\n")
    assert needs_of(tmp_path).kind == "requirements"
    write(tmp_path, uv__lock="version = 1\n")
    assert needs_of(tmp_path).kind == "lock"


def test_included_files_count_and_constraints_stay_apart(tmp_path: Path) -> None:
    write(
        tmp_path,
        requirements__txt="-r base.txt\n-c pins.txt\npsycopg\n",
        base__txt="flask  # web\n--requirement=more.txt\n",
        more__txt="click\n",
        pins__txt="flask==3.0\n",
    )
    before = needs_of(tmp_path)
    assert before.text.split("\n") == [
        "flask  # web",
        "click",
        f"-c {tmp_path / 'pins.txt'}",
        "psycopg",
        "",
    ]
    write(tmp_path, more__txt="click==8\n")
    between = needs_of(tmp_path)
    write(tmp_path, pins__txt="flask==3.1\n")
    assert len({one.contents for one in (before, between, needs_of(tmp_path))}) == 3


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    write(tmp_path, requirements__txt="-r other.txt\nflask\n", other__txt="-r requirements.txt\n")
    assert needs_of(tmp_path).text.split() == ["flask"]


def test_a_missing_include_is_named_with_the_file_that_includes_it(tmp_path: Path) -> None:
    write(tmp_path, requirements__txt="-r nowhere.txt\n")
    with pytest.raises(UsageError, match=r"requirements\.txt.*nowhere\.txt"):
        needs_of(tmp_path)


@pytest.mark.parametrize("line", ["-e .", ".", "--editable=.", "-e .[web,db]", "./"])
def test_the_project_itself_is_left_out_but_not_what_it_needs(tmp_path: Path, line: str) -> None:
    write(tmp_path, pyproject__toml=PYPROJECT, requirements__txt=f"{line}\ngunicorn\n")
    needs = needs_of(tmp_path)
    assert needs.itself
    assert needs.text.split() == ["gunicorn"]
    assert needs.extras == (("web", "db") if "[" in line else ())


def test_a_folder_of_the_project_is_installed_as_a_copy_and_its_code_counts(
    tmp_path: Path,
) -> None:
    (tmp_path / "libs").mkdir()
    code = tmp_path / "libs" / "thing.py"
    code.write_text("a = 1\n")
    write(tmp_path, requirements__txt="-e ./libs\n./libs[x]\n")
    before = needs_of(tmp_path)
    assert before.text.split() == [f"{tmp_path}/libs", f"{tmp_path}/libs[x]"]
    code.write_text("a = 2\n")
    assert needs_of(tmp_path).contents != before.contents


def test_hashes_on_continued_lines_stay_with_their_requirement(tmp_path: Path) -> None:
    text = "flask==3.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\n"
    write(tmp_path, requirements__txt=text)
    assert needs_of(tmp_path).text.count("\n") == 1


def test_a_broken_pyproject_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, pyproject__toml="[project\n")
    with pytest.raises(UsageError, match="line 1"):
        needs_of(tmp_path)


def test_requirements_that_windows_has_written_are_read(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes("flask\r\nclick\r\n".encode("utf-16"))
    assert needs_of(tmp_path).text.split() == ["flask", "click"]


def test_metadata_holds_scripts_and_entry_points() -> None:
    project = {
        "project": {
            "name": "shop",
            "dynamic": ["version"],
            "scripts": {"shop": "shop.cli:main"},
            "entry-points": {"shop.plugins": {"a": "shop.a"}},
        }
    }
    assert metadata(project) == (
        "shop",
        "0",
        {"console_scripts": {"shop": "shop.cli:main"}, "shop.plugins": {"a": "shop.a"}},
    )
    assert metadata({}) == ("", "0", {})
