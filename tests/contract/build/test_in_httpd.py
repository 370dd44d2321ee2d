"""boot/wsgi.py where it is meant to run: in mod_wsgi, embedded, in the main interpreter."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostel import httpd_build, modwsgi, venv
from hostel.boot_files import BESIDE, texts
from hostel.interpreter import Interpreter
from hostel.machine import Machine

from .conftest import Project, Wheel

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

Serve = Callable[..., Any]

SEEN = """
import json, os, subprocess, sys
AT_IMPORT = dict(os.environ)
CHILD = subprocess.run(["/usr/bin/env", "-0"], capture_output=True).stdout.decode()
def application(environ, start_response):
    import thing
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({
        "environ": AT_IMPORT, "child": CHILD.split("\\0")[:-1], "cwd": os.getcwd(),
        "argv": sys.argv, "path": sys.path, "prefix": sys.prefix, "name": __name__,
        "file": __file__, "uid": os.getuid(), "thing": thing.version,
        "coding": [sys.getfilesystemencoding(), sys.stdout.encoding],
    }).encode()]
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def serve(
    project: Project,
    place: Path,
    machine: Machine,
    python: Interpreter,
    cache: Path,
    wheel: Wheel,
    no_index: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Serve]:
    """Hosts an app on a real httpd started with a foreign environment; returns its answer."""
    httpd = httpd_build.find(machine)
    wheel("thing")
    started = []

    def run(app: str, files: dict[str, str], env: dict[str, str]) -> Any:
        root = project({**files, "requirements.txt": "thing\n"})
        made = venv.ensure(root, python, place / "venvs", machine, lambda _: None)
        with monkeypatch.context() as online:
            online.delenv("UV_OFFLINE")
            online.delenv("UV_FIND_LINKS")
            module = modwsgi.module_for(python, httpd, cache, machine, lambda _: None)
        shutil.copy(module, place / "mod_wsgi.so")
        for name, text in texts(BESIDE).items():
            (place / name).write_bytes(text)
        facts = {"app": app, "cwd": str(root), "path": [str(root)], "argv": ["app"], "env": env}
        (place / "boot.json").write_text(json.dumps(facts))
        for name in (*BESIDE, "boot.json"):
            (place / name).chmod(0o644)
        machine.make_folder(place / "run", 0o755, machine.runner)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        (place / "httpd.conf").write_text(conf(httpd, place, made, port))
        child = machine.spawn(
            [str(httpd.binary), "-f", str(place / "httpd.conf"), "-DFOREGROUND"],
            env={"FOREIGN": "leak", "LANG": "C.UTF-8", "A": "other"},
            cwd=place,
            log=place / "console",
            as_runner=True,
        )
        started.append(child)
        return json.loads(ask(port, place))

    yield run
    for child in started:
        machine.signal(child.pid, signal.SIGTERM)
        child.wait(20)


def conf(httpd: httpd_build.Httpd, place: Path, made: Path, port: int) -> str:
    loaded = [
        f"LoadModule {name}_module {httpd.modules_dir}/mod_{name}.so"
        for name in ("mpm_event", "authz_core")
        if (httpd.modules_dir / f"mod_{name}.so").exists()
    ]
    return "\n".join(
        [
            *loaded,
            f"LoadModule wsgi_module {place}/mod_wsgi.so",
            f"Listen 127.0.0.1:{port}",
            "ServerName localhost",
            f"PidFile {place}/run/pid",
            f"DefaultRuntimeDir {place}/run",
            f"ErrorLog {place}/run/error.log",
            f"WSGIPythonHome {made}",
            "StartServers 1",
            f"WSGIScriptAlias / {place}/wsgi.py",
            "WSGIApplicationGroup %{GLOBAL}",
            "",
        ]
    )


def ask(port: int, place: Path) -> bytes:
    deadline = time.monotonic() + 20
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            answer = connection.getresponse()
            body = answer.read()
            log = place / "run" / "error.log"
            assert answer.status == 200, log.read_text()
            return body
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, (place / "console").read_text()
            time.sleep(0.05)


def test_the_app_finds_exactly_its_environment_folder_and_path(
    serve: Serve, place: Path, machine: Machine
) -> None:
    env = {"A": "ä 'q' \"d\" $x\n=#", "EMPTY": "", "Ü": "€", "LANG": "C.UTF-8"}
    seen = serve("app:application", {"app.py": SEEN}, env)
    assert seen["environ"] == env
    assert sorted(seen["child"]) == sorted(f"{name}={value}" for name, value in env.items())
    root = place / "project"
    assert seen["cwd"] == str(root)
    assert seen["path"][0] == str(root)
    assert seen["argv"] == ["app"]
    assert seen["name"] == "app"
    assert Path(seen["prefix"]).parent == place / "venvs"
    assert seen["thing"] == "1.0"
    assert seen["uid"] == machine.runner.uid
    assert seen["coding"] == ["utf-8", "utf-8"]


def test_a_wsgi_file_is_hosted_too(serve: Serve) -> None:
    seen = serve("deploy/site.wsgi", {"deploy/site.wsgi": SEEN}, {"LANG": "C.UTF-8"})
    assert seen["file"].endswith("deploy/site.wsgi")
