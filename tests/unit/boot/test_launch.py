"""The launcher, run as units run it: by an isolated Python, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostel.boot import launch

SCRIPT = Path(launch.__file__)
Launch = Callable[..., subprocess.CompletedProcess[bytes]]
SHOW_ENVIRONMENT = ("/usr/bin/env", "-0")


@pytest.fixture
def launched(tmp_path: Path) -> Launch:
    """Runs the launcher with a boot.json of this environment, in a folder `code`."""
    code = tmp_path / "code"
    code.mkdir()

    def run(
        *command: str,
        env: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        outside: dict[str, str] | None = None,
        **more: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        boot = {"env": env or {}, "cwd": str(code), "argv": ["app"], "path": [], **more}
        (tmp_path / "boot.json").write_text(json.dumps(boot))
        argv = [sys.executable, "-I", "-S", str(SCRIPT), *options, str(tmp_path / "boot.json")]
        return subprocess.run(
            [*argv, "--", *command], capture_output=True, env=outside or {}, cwd="/", check=False
        )

    return run


def environment(ran: subprocess.CompletedProcess[bytes]) -> dict[bytes, bytes]:
    assert ran.returncode == 0, ran.stderr
    pairs = (entry.partition(b"=") for entry in ran.stdout.split(b"\0")[:-1])
    return {name: value for name, _, value in pairs}


def program(folder: Path, name: str, text: str = "#!/bin/sh\necho $0\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


NOISE = {"LANG": "de_DE", "INVOCATION_ID": "1", "JOURNAL_STREAM": "8:1", "PYTHONPATH": "/x"}
SYSTEMDS = {"NOTIFY_SOCKET": "/run/notify", "RUNTIME_DIRECTORY": "/run/hostel/a-1"}


def test_the_environment_is_exactly_that_of_the_site(launched: Launch) -> None:
    env = {"A": "ä 'q' $x\n%n", "EMPTY": "", "Ü": "x", "B": "\udcff\udc80"}
    seen = environment(launched(*SHOW_ENVIRONMENT, env=env, outside=NOISE | SYSTEMDS))
    assert seen == {
        name.encode(): value.encode("utf-8", "surrogateescape") for name, value in env.items()
    }


names = st.text(st.characters(exclude_characters="=\0", exclude_categories=("Cs",)), min_size=1)
values = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(names, values, max_size=5))
def test_no_value_is_changed_on_its_way(
    tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("boot")
    (folder / "boot.json").write_text(json.dumps({"env": env, "cwd": str(folder)}))
    argv = [sys.executable, "-I", "-S", str(SCRIPT), str(folder / "boot.json"), "--"]
    ran = subprocess.run([*argv, *SHOW_ENVIRONMENT], capture_output=True, env=NOISE, check=False)
    assert environment(ran) == {name.encode(): value.encode() for name, value in env.items()}


def test_httpd_alone_gets_what_systemd_gave_for_it(launched: Launch) -> None:
    env = {"A": "1", "NOTIFY_SOCKET": "the site's"}
    outside = NOISE | SYSTEMDS
    ran = launched(*SHOW_ENVIRONMENT, env=env, options=("--httpd",), outside=outside)
    expected = {"A": "1", "MALLOC_ARENA_MAX": "2", **SYSTEMDS}
    assert environment(ran) == {name.encode(): value.encode() for name, value in expected.items()}


def test_what_a_site_says_of_memory_is_what_httpd_gets(launched: Launch) -> None:
    env = {"MALLOC_ARENA_MAX": "8"}
    ran = launched(*SHOW_ENVIRONMENT, env=env, options=("--httpd",))
    assert environment(ran) == {b"MALLOC_ARENA_MAX": b"8"}


def test_a_command_run_by_hand_knows_its_terminal(launched: Launch) -> None:
    outside = NOISE | {"TERM": "xterm"}
    assert environment(launched(*SHOW_ENVIRONMENT, outside=outside)) == {b"TERM": b"xterm"}
    said = launched(*SHOW_ENVIRONMENT, env={"TERM": "dumb"}, outside=outside)
    assert environment(said) == {b"TERM": b"dumb"}


def test_the_command_runs_in_the_folder_of_the_code_with_its_own_words(
    launched: Launch, tmp_path: Path
) -> None:
    words = ["a b", "", "--", "$x", "--httpd", "\udcff"]
    ran = launched("/bin/sh", "-c", 'pwd; printf "<%s>" "$@"', "sh", *words)
    shown = "".join(f"<{word}>" for word in words).encode("utf-8", "surrogateescape")
    assert ran.stdout == str(tmp_path / "code").encode() + b"\n" + shown


def test_a_program_is_looked_for_in_the_venv_first_and_then_on_path(
    launched: Launch, tmp_path: Path
) -> None:
    in_venv = program(tmp_path / "venv/bin", "tool")
    on_path = program(tmp_path / "bin", "tool")
    env = {"VIRTUAL_ENV": str(tmp_path / "venv"), "PATH": str(tmp_path / "bin")}
    assert launched("tool", env=env).stdout.decode().strip() == str(in_venv)
    in_venv.unlink()
    assert launched("tool", env=env).stdout.decode().strip() == str(on_path)


def test_a_path_is_relative_to_the_code(launched: Launch, tmp_path: Path) -> None:
    program(tmp_path / "code/bin", "tool")
    assert launched("bin/tool").stdout == b"bin/tool\n"


def test_no_program_is_found_in_the_code_by_its_bare_name(launched: Launch, tmp_path: Path) -> None:
    program(tmp_path / "code", "tool")
    assert launched("tool", env={"PATH": "::/usr/bin"}).returncode == 127


@pytest.mark.parametrize("name", ["no-such-program", "bin/no-such-program", "/no/such/program"])
def test_a_missing_program_is_told_in_one_line(launched: Launch, name: str) -> None:
    ran = launched(name, "secret-argument", env={"SECRET": "hunter2", "PATH": "/usr/bin:/bin"})
    assert ran.returncode == 127
    assert ran.stderr.decode().startswith(f"hostel: there is no program {name}")
    assert ran.stderr.count(b"\n") == 1
    assert b"hunter2" not in ran.stderr


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("echo no first line\n", 0o755, "no first line"),
        ("#!/no/such/interpreter\n", 0o755, "first line names is not there"),
    ],
)
def test_what_cannot_be_run_is_told_with_its_reason(
    launched: Launch, tmp_path: Path, text: str, mode: int, said: str
) -> None:
    program(tmp_path / "bin", "tool", text).chmod(mode)
    ran = launched("tool", env={"PATH": str(tmp_path / "bin")})
    assert ran.returncode == 126
    assert said in ran.stderr.decode()
    assert ran.stderr.count(b"\n") == 1


def test_a_folder_of_that_name_hides_no_program(launched: Launch, tmp_path: Path) -> None:
    (tmp_path / "venv/bin/tool").mkdir(parents=True)
    found = program(tmp_path / "bin", "tool")
    env = {"VIRTUAL_ENV": str(tmp_path / "venv"), "PATH": str(tmp_path / "bin")}
    assert launched("tool", env=env).stdout.decode().strip() == str(found)


def test_a_boot_json_that_cannot_be_used_is_told_without_its_content(tmp_path: Path) -> None:
    for content in ('{"env": {"SECRET": "hunter2"', None):
        path = tmp_path / "boot.json"
        path.unlink(missing_ok=True)
        if content:
            path.write_text(content)
        argv = [sys.executable, "-I", "-S", str(SCRIPT), str(path), "--", "true"]
        ran = subprocess.run(argv, capture_output=True, check=False)
        assert ran.returncode == 126
        assert ran.stderr.count(b"\n") == 1
        assert b"hunter2" not in ran.stderr


def test_a_folder_that_is_gone_is_told(launched: Launch, tmp_path: Path) -> None:
    ran = launched("true", cwd=str(tmp_path / "gone"))
    assert ran.returncode == 126
    assert b"cannot enter" in ran.stderr


def test_a_call_without_a_command_is_refused() -> None:
    for arguments in ([], ["boot.json"], ["boot.json", "--"], ["boot.json", "true", "--"]):
        argv = [sys.executable, "-I", "-S", str(SCRIPT), *arguments]
        ran = subprocess.run(argv, capture_output=True, check=False)
        assert (ran.returncode, ran.stderr[:14]) == (2, b"hostel: usage:")


def test_what_is_run_leaves_no_core_dump_that_would_hold_its_environment(launched: Launch) -> None:
    code = "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE))"
    soft, hard = map(int, launched(sys.executable, "-c", code).stdout.split())
    # No more where root has forbidden core files for all, which nothing can raise again.
    assert soft <= hard <= 1
