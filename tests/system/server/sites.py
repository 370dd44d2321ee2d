"""Sites for the tests on servers: what is in their folders, and asking them."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..machines import DebianMachine

HELLO = """\
import os


def application(environ, start_response):
    body = os.environ.get("GREETING", "hello").encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


def site_file(name: str, more: str = "") -> str:
    """A site file; `more` are further lines, tables last."""
    return f'name = "{name}"\napp = "app.py"\ndomains = ["{name}.example.com"]\n{more}'


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def put_site(server: DebianMachine, name: str, app: str = HELLO, more: str = "") -> str:
    """Write a project into the machine; returns its folder, for `hostel apply`."""
    folder = f"/root/{name}"
    server.write(f"{folder}/app.py", app, 0o644)
    server.write(f"{folder}/hostel.toml", site_file(name, more), 0o644)
    return folder


def ask(
    server: DebianMachine,
    host: str,
    path: str = "/",
    *,
    body: str | None = None,
    port: int = 443,
    timeout: float = 60,
) -> Answer:
    """One request through the router, over TLS that the machine's own authority vouches for.

    With a body it is a POST.
    """
    context = ssl.create_default_context(cadata=server.read("/var/lib/hostel/ca/ca.crt"))
    with (
        socket.create_connection((server.address, port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        connection = http.client.HTTPConnection(host)
        connection.sock = secure
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, headers={"Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())


def status(server: DebianMachine, name: str) -> dict[str, Any]:
    """What `hostel status --json` says of a site."""
    said = server.run(["hostel", "status", name, "--json"], check=True).stdout
    site: dict[str, Any] = json.loads(said)["sites"][0]
    return site


def plan_is_empty(server: DebianMachine, folder: str) -> bool:
    """Whether `hostel plan --exit-code` finds nothing to change."""
    ran = server.run(["hostel", "plan", folder, "--exit-code"])
    assert ran.returncode in (0, 3), ran.stderr
    return ran.returncode == 0
