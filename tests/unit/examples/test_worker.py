"""The example `worker`: its commands run as its site file says them, and the app shows it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hostel.background import jobs_of, workers_of
from hostel.sitefile import load_site
from hostel.target import resolve

PATIENCE = 60.0


@pytest.fixture
def folder(examples: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(examples / "worker", tmp_path / "worker"))


def words(command: tuple[str, ...]) -> list[str]:
    """A command of the site file, with this Python in place of the release's."""
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def around(folder: Path) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(folder)}


def wait_for(file: Path, text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists() or text not in file.read_text():
        assert time.monotonic() < deadline, f"no {text!r} in {file}"
        time.sleep(0.05)


def test_the_worker_begins_works_and_ends_when_it_is_asked_to(folder: Path) -> None:
    site, notes = load_site(resolve(str(folder)))
    assert not notes
    (worker,) = workers_of(site)
    *command, seconds = words(worker.command)
    assert float(seconds) > 0
    process = subprocess.Popen([*command, "0.05"], cwd=folder, env=around(folder))
    try:
        wait_for(folder / "diary.txt", "works")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    lines = (folder / "diary.txt").read_text().splitlines()
    assert lines[0].endswith(f"beat {process.pid}  begins")
    assert lines[-1].endswith(f"beat {process.pid}  ends")


def test_the_job_is_due_each_minute_and_writes_one_line(folder: Path) -> None:
    (job,) = jobs_of(load_site(resolve(str(folder)))[0])
    assert job.calendars == ("*-*-* *:*:00",)
    for _ in range(2):
        subprocess.run(words(job.command), cwd=folder, env=around(folder), check=True)
    lines = (folder / "diary.txt").read_text().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}  minute \d+  was here", lines[0])


def test_the_app_shows_what_was_written_the_newest_first(
    folder: Path,
    load: Callable[[Path, str], ModuleType],
    ask: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATA_DIR", str(folder))
    said = tomllib.loads((folder / "hostel.toml").read_text())["app"]
    module, _, name = said.partition(":")
    app = getattr(load(folder, module), name)
    answer = ask(app)
    assert (answer.status, answer.text) == ("200 OK", "Nothing yet: does the worker run?\n")
    diary = sys.modules["diary"]
    for number in range(60):
        diary.write("test", str(number))
    lines = ask(app).text.splitlines()
    assert len(lines) == 50
    assert lines[0].endswith("  59")
    assert lines[-1].endswith("  10")
    assert ask(app, REQUEST_METHOD="HEAD").body == b""
