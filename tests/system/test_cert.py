"""`hostel cert` on this machine: in a home of its own, and once in the system's real store."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel import localca
from hostel.machine import Machine

pytestmark = pytest.mark.system


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}


def hostel(env: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hostel", *argv],
        env=env, cwd=env["HOME"], capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_path_prints_the_path_and_nothing_else(env: dict[str, str]) -> None:
    done = hostel(env, "cert", "path")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.removesuffix("\n")).read_text().startswith("-----BEGIN CERTIFICATE")
    assert done.stderr == ""


def test_show_says_that_there_is_none_and_makes_none(env: dict[str, str]) -> None:
    done = hostel(env, "cert", "show")
    assert done.returncode == 1
    assert "hostel up" in done.stderr
    assert not Path(env["XDG_DATA_HOME"]).exists()


def test_show_and_list_tell_programs_what_they_tell_people(env: dict[str, str]) -> None:
    path = hostel(env, "cert", "path").stdout.strip()
    said = json.loads(hostel(env, "cert", "show", "--json").stdout)
    assert said["version"] == 1
    assert said["certificate"]["path"] == path
    assert said["certificate"]["days_left"] > 3600
    text = hostel(env, "cert", "show").stdout
    assert said["certificate"]["sha256"] in text
    assert path in text


def test_print_changes_nothing_and_prints_commands_alone(env: dict[str, str]) -> None:
    done = hostel(env, "cert", "trust", "--print")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert line.split()[0] in ("sudo", "install", "certutil", "mkdir", "rm", "security") or (
            line.startswith("update-ca-")
        )
    assert not list(Path("/usr/local/share/ca-certificates").glob(f"*{_mark(env)}*"))


def test_a_damaged_authority_is_named(env: dict[str, str]) -> None:
    Path(hostel(env, "cert", "path").stdout.strip()).write_text("rubbish")
    done = hostel(env, "cert", "show")
    assert done.returncode == 1
    assert "ca.crt" in done.stderr
    assert hostel(env, "cert", "untrust", "--print").returncode == 0


def _mark(env: dict[str, str]) -> str:
    said = json.loads(hostel(env, "cert", "show", "--json").stdout)
    return str(said["certificate"]["sha256"]).replace(":", "").lower()[:16]


@pytest.fixture
def https(env: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a server with a leaf of the CA in this home."""
    authority = localca.ensure(Path(env["XDG_DATA_HOME"]) / "hostel" / "ca", Machine())
    pem = tmp_path / "leaf.pem"
    pem.write_bytes(localca.leaf(authority, ("localhost",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(4096)
                    secured.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"https://localhost:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)


def curl(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["curl", "-sS", "--ipv4", "--noproxy", "*", *argv],
                          capture_output=True, text=True, check=False)  # fmt: skip


def test_curl_takes_the_path(env: dict[str, str], https: str) -> None:
    path = hostel(env, "cert", "path").stdout.strip()
    assert curl("--cacert", path, https).stdout == "hello"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("update-ca-certificates") is None,
    reason="changes the system's store for a moment: needs root and Debian's tool",
)
def test_the_system_trusts_it_between_trust_and_untrust(env: dict[str, str], https: str) -> None:
    assert curl(https).returncode == 60
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    before = bundle.read_bytes()
    try:
        done = hostel(env, "cert", "trust")
        assert done.returncode == 0, done.stderr
        assert "hostel cert untrust" in done.stderr
        assert curl(https).stdout == "hello"
        again = hostel(env, "cert", "trust")
        assert "trusted already" in again.stderr
    finally:
        undone = hostel(env, "cert", "untrust")
    assert undone.returncode == 0, undone.stderr
    assert curl(https).returncode == 60
    assert bundle.read_bytes() == before
    assert "nothing here trusts" in hostel(env, "cert", "untrust").stderr
