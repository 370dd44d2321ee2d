"""An instance behind a router: whom it takes the client for, and that it hears only routers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostel import httpd_build, interpreter, localca, modwsgi
from hostel.boot_files import BESIDE, texts
from hostel.errors import HostelError
from hostel.instance import Behind, Instance
from hostel.instance_conf import configuration
from hostel.platforms.private import cache_folder, machine_here

from . import echo_app, proxied
from .conftest import cannot, eventually, free_port
from .proxied import LOCAL, Ends
from .wire import Cut, Endpoint, Http1, Http2

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

V4 = Ends()
V6 = Ends("2001:db8::9", 45678, "2001:db8::1", 443)
SPOKEN = {"v1-ipv4": V4.v1(), "v1-ipv6": V6.v1(), "v2-ipv4": V4.v2(), "v2-ipv6": V6.v2()}


@dataclass(frozen=True)
class Routed:
    """An instance that a router would pass connections to, and the ports it listens on."""

    folder: Path
    https: int
    http: int
    trusted: str

    def endpoint(self, first: bytes, addr: str) -> Endpoint:
        return Endpoint(
            lambda: proxied.connect(("127.0.0.1", self.https), first),
            "localhost",
            443,
            self.trusted,
            addr,
        )

    def log(self) -> str:
        return (self.folder / "log" / "access.log").read_text()


@pytest.fixture(scope="module")
def routed() -> Iterator[Routed]:
    machine = machine_here()
    try:
        httpd = httpd_build.find(machine)
        python = interpreter.choose(None, Path("/"), machine)
        module = modwsgi.module_for(python, httpd, cache_folder(machine), machine, print)
    except HostelError as error:
        cannot(f"{error}; {error.remedy}")
    folder = Path(tempfile.mkdtemp(prefix="hostel-routed-", dir="/tmp"))
    folder.chmod(0o755)
    started = False
    command = [str(httpd.binary), "-f", str(folder / "httpd.conf"), "-k"]
    as_whom = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    try:
        subprocess.run([python.path, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        authority = localca.ensure(folder / "ca", machine)
        (folder / "tls.pem").write_bytes(localca.leaf(authority, ("localhost",)))
        for name, text in texts(BESIDE).items():
            (folder / name).write_bytes(text)
        shutil.copy(echo_app.__file__, folder)
        boot = {"app": "echo_app:application", "cwd": str(folder), "argv": ["app"]}
        boot |= {"path": [str(folder)], "env": {}}  # type: ignore[dict-item]
        (folder / "boot.json").write_text(json.dumps(boot))
        (folder / "log").mkdir()
        (folder / "run").mkdir()
        found = Routed(folder, free_port(), free_port(), authority.cert_pem.decode())
        (folder / "httpd.conf").write_text(configuration(instance(found, httpd, module)))
        if as_whom:
            subprocess.run(["chown", "-R", "nobody:nogroup", folder], check=True)
        subprocess.run([*command, "start"], check=True, **as_whom)  # type: ignore[call-overload]
        started = True
        eventually(lambda: socket.create_connection(("127.0.0.1", found.https), 60).close() is None)
        yield found
    finally:
        if started:
            subprocess.run([*command, "stop"], check=False, **as_whom)  # type: ignore[call-overload]
            eventually(lambda: not (folder / "run" / "httpd.pid").exists())
        shutil.rmtree(folder)


def instance(found: Routed, httpd: httpd_build.Httpd, module: Path) -> Instance:
    folder = found.folder
    return Instance(
        name="routed",
        modules_dir=httpd.modules_dir,
        builtin=httpd.builtin,
        mod_wsgi=module,
        venv=folder / "venv",
        script=folder / "wsgi.py",
        run=folder / "run",
        log=folder / "log",
        drain_flag=folder / "drain",
        generation="0",
        addresses=("127.0.0.1",),
        http_port=found.http,
        https_port=found.https,
        certificate=folder / "tls.pem",
        domains=("localhost",),
        any_name=False,
        processes=1,
        threads=8,
        request_timeout=60,
        max_body=1000,
        static=(),
        behind=Behind(80, 443),
    )


ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n"


@pytest.mark.parametrize("spoken", SPOKEN)
def test_the_client_is_who_the_router_says(routed: Routed, spoken: str) -> None:
    source = (V6 if "ipv6" in spoken else V4).source
    site = routed.endpoint(SPOKEN[spoken], source)
    with Http1(site) as wire:
        for _ in range(2):
            wire.send(ASK % b"X-Forwarded-For: 10.0.0.1\r\n")
            got = json.loads(wire.reply().body)
            assert (got["REMOTE_ADDR"], got["SERVER_PORT"]) == (source, "443")
            assert got["wsgi.url_scheme"] == "https"
    with Http2(site) as wire2:
        for _ in range(2):
            got = json.loads(wire2.reply(wire2.request(b"GET", b"/")).body)
            assert (got["REMOTE_ADDR"], got["SERVER_PORT"]) == (source, "443")
    assert eventually(lambda: f"\t{source}\t" in routed.log())


def test_a_router_s_own_checks_come_from_the_router(routed: Routed) -> None:
    with Http1(routed.endpoint(LOCAL, "127.0.0.1")) as wire:
        wire.send(ASK % b"")
        assert json.loads(wire.reply().body)["REMOTE_ADDR"] == "127.0.0.1"


def test_plain_http_is_led_to_the_port_that_visitors_see(routed: Routed) -> None:
    with proxied.connect(("127.0.0.1", routed.http), V4.v2()) as wire:
        wire.sendall(ASK % b"Connection: close\r\n")
        answer = b""
        while block := wire.recv(65536):
            answer += block
    assert b"\r\nLocation: https://localhost/\r\n" in answer


def test_who_is_no_router_is_not_heard(routed: Routed) -> None:
    """Not even an HTTP request gets an answer, whatever it says of its client."""
    with socket.create_connection(("127.0.0.1", routed.http), 60) as wire:
        wire.sendall(ASK % b"X-Forwarded-For: 10.0.0.1\r\n")
        with contextlib.suppress(ConnectionError):
            assert wire.recv(1) == b""


def test_what_follows_the_router_s_word_cannot_replace_it(routed: Routed) -> None:
    with proxied.connect(("127.0.0.1", routed.http), V4.v2()) as wire:
        wire.sendall(V6.v1() + ASK % b"")
        assert wire.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_half_an_answer_is_cut_behind_a_router_too(routed: Routed) -> None:
    with Http1(routed.endpoint(V4.v2(), V4.source)) as wire:
        wire.send(ASK % b'X-Do: {"first": "half of", "fail": true}\r\n')
        with pytest.raises(Cut):
            wire.reply()
