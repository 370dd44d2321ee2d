"""What a hostile project or a hostile app tries when root hosts it. All targets are harmless."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Hosted
from .test_bad_input import HELLO

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.parametrize("person", ["root"], indirect=True),
]

SECRET = "only-root-may-read-this"


@pytest.fixture
def vault() -> Iterator[Path]:
    """A folder with a file that only root may read, in a place that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="vault-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "secret").write_text(f"KEY={SECRET}\n")
    (folder / "secret").chmod(0o600)
    yield folder
    shutil.rmtree(folder)


def found(folder: Path) -> list[Path]:
    """Files below that hold the secret."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes()
    ]


def test_a_journal_that_came_with_the_project_writes_nothing(project: Any, vault: Path) -> None:
    site: Hosted = project(None, "evil", **{"app.py": HELLO})
    target = vault / "planted"
    state = {"needs": [], "loads": [], "digest": "x", "mode": 0o644, "uid": 0, "content": "aGk="}
    entry = {"begun": {"key": f"file:{target}", "before": state, "after": None}}
    site.state.mkdir()
    (site.state / "journal").write_text(json.dumps(entry) + "\n")
    for done in (site.down(), site.up()):
        assert done.returncode == 2
        assert "not made by Hostel" in done.stderr
    assert not target.exists()
    shutil.rmtree(site.state)


def test_a_link_in_place_of_the_state_folder_takes_over_nothing(project: Any, vault: Path) -> None:
    site: Hosted = project(None, "evil", **{"app.py": HELLO})
    (vault / "releases" / "2024a").mkdir(parents=True)
    site.root.parent.parent.chmod(0o755)
    (site.root / ".hostel").symlink_to(vault)
    done = site.hostel("up", site.root, "--http", site.http, "--https", site.https, "--detach")
    assert done.returncode == 2
    assert (vault / "releases" / "2024a").is_dir()
    assert not (vault / "instance").exists()


@pytest.mark.parametrize("kept", ["link/made", "link/x.sh"])
def test_what_is_kept_cannot_lie_behind_a_link(project: Any, vault: Path, kept: str) -> None:
    site: Hosted = project(None, "evil", **{"app.py": HELLO})
    (site.root / "link").symlink_to(vault)
    site.write("hostel.toml", f'app = "app.py"\nkeep = ["{kept}"]\n')
    done = site.up()
    assert done.returncode == 2
    assert "link" in done.stderr
    assert sorted(path.name for path in vault.iterdir()) == ["secret"]


def test_an_env_file_that_links_to_a_secret_is_refused(project: Any, vault: Path) -> None:
    site: Hosted = project(None, "evil", **{"app.py": HELLO})
    (site.root / ".env").symlink_to(vault / "secret")
    done = site.up()
    assert done.returncode == 2
    assert SECRET not in done.stderr + done.stdout
    assert not found(site.state)


def test_files_of_the_database_that_the_app_replaced_are_not_followed(
    project: Any, vault: Path
) -> None:
    site: Hosted = project("guestbook", "guestbook")
    assert site.up().returncode == 0
    data = site.state / "postgres" / "data"
    kept = (data / "postgresql.conf").read_bytes()
    (data / "postgresql.conf").unlink()
    (data / "postgresql.conf").symlink_to(vault / "secret")
    assert site.down().returncode == 0
    done = site.up()
    assert done.returncode == 1
    assert "no plain file" in done.stderr
    assert SECRET not in done.stderr
    assert not found(site.state)
    (data / "postgresql.conf").unlink()
    (data / "postgresql.conf").write_bytes(kept)
    shutil.chown(data / "postgresql.conf", data.owner(), data.group())


def test_a_pipe_in_place_of_the_pid_file_does_not_hold_down_up(project: Any) -> None:
    site: Hosted = project("guestbook", "guestbook")
    assert site.up().returncode == 0
    pid_file = site.state / "postgres" / "data" / "postmaster.pid"
    kept = pid_file.read_bytes()
    pid_file.unlink()
    os.mkfifo(pid_file)
    done = site.down()
    assert "no plain file" in done.stderr
    assert site.status()["state"] == "down"  # httpd was stopped all the same
    pid_file.unlink()
    pid_file.write_bytes(kept)
    shutil.chown(pid_file, pid_file.parent.owner(), pid_file.parent.group())


def test_down_leaves_whoever_looks_at_the_files_alone(project: Any) -> None:
    site: Hosted = project(None, "looked-at", **{"app.py": HELLO})
    assert site.up().returncode == 0
    pager = subprocess.Popen(["tail", "-f", site.state / "instance" / "httpd.conf"])
    try:
        assert site.down().returncode == 0
        assert pager.poll() is None
    finally:
        pager.kill()
        pager.wait()


def test_a_reader_that_goes_away_leaves_nothing_running(project: Any) -> None:
    site: Hosted = project(None, "piped", **{"app.py": HELLO})
    command = (
        f"{site.person.hostel} up {site.root} --dir {site.state} "
        f"--http {site.http} --https {site.https} 2>&1 | head -2"
    )
    site.person.run("/bin/sh", "-c", command, timeout=120)
    assert site.status()["state"] == "down"
    assert not site.strays()
