"""The command line as people and shells meet it: help, mistakes, colours, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostel.cli import VERBS

HEAVY = ("pydantic", "psycopg", "cryptography", "psutil", "watchfiles", "dotenv", "ssl")


def hostel(*argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    around = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "hostel", *argv],
        capture_output=True, text=True, check=False, cwd=cwd,
        env={**around, "LANG": "C.UTF-8", **env},
    )  # fmt: skip


def test_help_names_every_verb_and_shows_examples() -> None:
    for argv in (["--help"], ["-h"]):
        said = hostel(*argv)
        assert said.returncode == 0
        assert "Examples:" in said.stdout
        for verb, line in VERBS.items():
            assert f"  {verb}" in said.stdout
            assert line[:40] in said.stdout


@pytest.mark.parametrize("verb", list(VERBS))
def test_each_verb_explains_itself_with_examples(verb: str) -> None:
    said = hostel(verb, "--help")
    assert said.returncode == 0
    assert "Examples:" in said.stdout
    assert f"hostel {verb}" in said.stdout.split("Examples:")[1]


@pytest.mark.parametrize("argv", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_comes_without_loading_what_only_work_needs(argv: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['hostel', *{argv!r}]\n"
        "from hostel.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stderr.splitlines()[-1] == "[]"


def test_the_version_is_said() -> None:
    assert hostel("--version").stdout.startswith("hostel 0.")


@pytest.mark.parametrize(
    ("word", "meant"), [("upp", "up"), ("dwon", "down"), ("stauts", "status"), ("certs", "cert")]
)
def test_a_misspelt_verb_is_a_usage_error_that_names_the_right_one(word: str, meant: str) -> None:
    said = hostel(word)
    assert said.returncode == 2
    assert f'Did you mean "{meant}"?' in said.stderr
    assert said.stdout == ""


def test_a_word_like_no_verb_gets_no_guess() -> None:
    said = hostel("xyzzy")
    assert said.returncode == 2
    assert "Did you mean" not in said.stderr


@pytest.mark.parametrize("argv", [
    ["up", "--no-such-option"], ["up", "--http", "0"], ["up", "--https", "65536"],
    ["up", "--http", "http"], ["up", "a", "b"], ["down", "a", "b"], ["--no-such-option"],
])  # fmt: skip
def test_a_line_that_cannot_be_acted_on_is_exit_code_2_and_says_why(argv: list[str]) -> None:
    said = hostel(*argv)
    assert said.returncode == 2
    assert "Usage: hostel" in said.stderr or "Usage: python" in said.stderr
    assert "Error: " in said.stderr
    assert "Traceback" not in said.stderr


def test_watching_and_leaving_do_not_go_together() -> None:
    said = hostel("up", "--detach", "--reload")
    assert said.returncode == 2
    assert "--reload" in said.stderr
    assert "--detach" in said.stderr


def test_a_target_that_is_not_there_is_exit_code_2_in_three_parts(tmp_path: Path) -> None:
    said = hostel("up", "no/such/folder", cwd=tmp_path)
    assert said.returncode == 2
    assert said.stderr.startswith("error: ")
    assert "→ " in said.stderr
    assert not list(tmp_path.iterdir()), "nothing was made"


def test_a_broken_site_file_is_exit_code_2_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "hostel.toml").write_text('app = "app:app"\n\nservr = 1\n')
    said = hostel("up", cwd=tmp_path)
    assert said.returncode == 2
    assert "servr" in said.stderr
    assert "3" in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["hostel.toml"]


def test_nothing_is_coloured_for_those_who_want_no_colours(tmp_path: Path) -> None:
    """Asked on a terminal, where colours would come otherwise."""
    import pty

    def on_terminal(**env: str) -> bytes:
        leader, follower = pty.openpty()
        try:
            subprocess.run(
                [sys.executable, "-m", "hostel", "up", str(tmp_path / "missing")],
                stdout=follower, stderr=follower, stdin=follower, check=False,
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm", **env},
            )  # fmt: skip
            return os.read(leader, 100_000)
        finally:
            os.close(leader)
            os.close(follower)

    assert b"\x1b[" in on_terminal()
    assert b"\x1b[" not in on_terminal(NO_COLOR="1")
    assert b"error" in on_terminal(NO_COLOR="1")


def test_nothing_is_coloured_in_a_pipe(tmp_path: Path) -> None:
    assert "\x1b" not in hostel("up", "missing", cwd=tmp_path).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str) -> None:
    said = hostel_as_installed(_HOSTEL_COMPLETE=f"{shell}_source")
    assert said.returncode == 0, said.stderr
    assert "hostel" in said.stdout
    assert "_HOSTEL_COMPLETE" in said.stdout


def test_verbs_and_options_are_completed() -> None:
    around = {"_HOSTEL_COMPLETE": "fish_complete"}
    verbs = hostel_as_installed(**around, COMP_WORDS="hostel ", COMP_CWORD="").stdout
    for verb in VERBS:
        assert f"plain,{verb}" in verbs
    options = hostel_as_installed(**around, COMP_WORDS="hostel up --", COMP_CWORD="--").stdout
    assert "plain,--reload" in options


def hostel_as_installed(**env: str) -> subprocess.CompletedProcess[str]:
    """By its own name, which completion goes by."""
    program = Path(sys.executable).parent / "hostel"
    if not program.exists():
        pytest.skip("hostel is not installed beside this Python")
    return subprocess.run(
        [program], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], **env},
    )  # fmt: skip


def test_a_pipe_that_closes_early_makes_no_noise() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        said = subprocess.run(
            [sys.executable, "-m", "hostel", "--help"], check=False,
            stdout=closed, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert "Traceback" not in said.stderr


def test_status_of_a_site_that_was_never_up_is_down_and_is_json_when_asked(
    tmp_path: Path,
) -> None:
    import json

    (tmp_path / "app.py").write_text("def application(environ, start_response): ...\n")
    said = hostel("status", "--json", str(tmp_path))
    assert said.returncode == 0, said.stderr
    known = json.loads(said.stdout)
    assert known["version"] == 1
    assert [site["state"] for site in known["sites"]] == ["down"]
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]
