"""`hostel init` writes one file, says what it chose, and asks only somebody who can answer."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

FLASK = "from flask import Flask\napp = Flask(__name__)\n"


def around() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8", "TERM": "xterm"}


def init(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "hostel", "init", *argv],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=cwd,
        env=around(),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def said(root: Path) -> dict[str, object]:
    return tomllib.loads((root / "hostel.toml").read_text())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text(FLASK)
    return tmp_path / "shop"


def test_it_prints_the_path_and_says_what_it_chose_and_what_comes_next(project: Path) -> None:
    done = init(cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{project}/hostel.toml\n"
    assert 'app = "app:app": app in app.py is Flask(...).' in done.stderr
    assert done.stderr.rstrip().endswith(" up")
    assert said(project)["name"] == "shop"


def test_the_file_is_one_that_others_can_read(project: Path) -> None:
    init(cwd=project)
    assert (project / "hostel.toml").stat().st_mode & 0o444 == 0o444


def test_a_folder_and_names_can_be_given(project: Path) -> None:
    argv = ("shop", "--domain", "Shop.Example", "--domain", "www.shop.example", "--database")
    done = init(*argv, cwd=project.parent)
    assert done.returncode == 0, done.stderr
    assert said(project)["domains"] == ["shop.example", "www.shop.example"]
    assert said(project)["database"] == {}
    assert done.stderr.rstrip().endswith(" up shop")


def test_an_app_can_be_named_where_several_are_likely(project: Path) -> None:
    (project / "app.py").unlink()
    for name in ("one", "two"):
        (project / f"{name}.py").write_text(FLASK)
    refused = init(cwd=project)
    assert refused.returncode == 2
    assert "`hostel init one:app`" in refused.stderr
    assert not (project / "hostel.toml").exists()
    assert init("two:app", cwd=project).returncode == 0
    assert said(project)["app"] == "two:app"


@pytest.mark.parametrize("file", ["hostel.toml", "pyproject.toml"])
def test_a_site_file_is_never_overwritten(project: Path, file: str) -> None:
    (project / file).write_text("[tool.hostel]\n")
    done = init(cwd=project)
    assert done.returncode == 2
    assert "one already" in done.stderr
    assert (project / file).read_text() == "[tool.hostel]\n"


def test_nothing_is_written_through_a_link(project: Path) -> None:
    (project / "hostel.toml").symlink_to(project / "elsewhere")
    done = init(cwd=project)
    assert done.returncode == 2
    assert "one already" in done.stderr
    assert not (project / "elsewhere").exists()


@pytest.mark.parametrize("name", ["*.example.com", "http://shop.example", "a b", "1.2.3.4", ""])
def test_a_domain_that_is_none_is_refused_before_anything_is_written(
    project: Path, name: str
) -> None:
    done = init("--domain", name, cwd=project)
    assert done.returncode == 2
    assert not (project / "hostel.toml").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_leaves_the_file_to_the_owner_of_the_project() -> None:
    with tempfile.TemporaryDirectory(prefix="hostel-init-", dir="/tmp") as folder:
        project = Path(folder)
        (project / "app.py").write_text(FLASK)
        project.chmod(0o755)
        os.chown(project, 65534, 65534)
        done = init(cwd=project)
        assert done.returncode == 0, done.stderr
        assert (project / "hostel.toml").stat().st_uid == 65534


def on_terminal(project: Path, *argv: str, typed: list[str]) -> tuple[int, str]:
    """What is shown to somebody who types these lines, each when asked."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hostel", "init", *argv],
        stdin=follower, stdout=follower, stderr=follower, cwd=project, env=around(),
        preexec_fn=lambda: os.login_tty(follower),
    )  # fmt: skip
    os.close(follower)
    seen, asked, silent = b"", 0, 0
    while True:
        ready, _, _ = select.select([leader], [], [], 5)
        if not ready:
            silent += 1
            assert silent < 20, f"nothing more is shown than {seen!r}"
            if asked:
                # readline throws away what is typed between its question and its own terminal mode.
                os.write(leader, typed[asked - 1].encode())
            continue
        try:
            data = os.read(leader, 4096)
        except OSError:
            data = b""
        if not data:
            break
        seen += data
        if seen.count(b"Domain (none): ") > asked:
            os.write(leader, typed[asked].encode())
            asked += 1
    os.close(leader)
    assert asked == len(typed)
    return process.wait(60), seen.decode()


def test_somebody_at_a_terminal_is_asked_for_the_domain_alone(project: Path) -> None:
    code, seen = on_terminal(project, typed=["*.example.com\n", "shop.example\n"])
    assert code == 0
    assert "wildcard" in seen
    assert said(project)["domains"] == ["shop.example"]


def test_no_answer_is_no_domain(project: Path) -> None:
    assert on_terminal(project, typed=["\n"])[0] == 0
    assert "domains" not in said(project)


def test_who_interrupts_the_question_gets_no_file(project: Path) -> None:
    assert on_terminal(project, typed=["\x03"])[0] == 130
    assert not (project / "hostel.toml").exists()


@pytest.mark.parametrize("argv", [["--yes"], ["--domain", "shop.example"]])
def test_who_has_said_it_all_is_not_asked(project: Path, argv: list[str]) -> None:
    assert on_terminal(project, *argv, typed=[])[0] == 0
