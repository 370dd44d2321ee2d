"""Nothing is lost: whatever changes about a site, each request gets its answer, whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from ..machines import DebianMachine
from .load import LOADED, Aim, Load, Tally
from .sites import ask, put_site, site_file

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

HOST = "hello.example.com"
PYTHONS = Path.home() / ".pyenv" / "versions"

APP = (
    LOADED
    + '''

import os
import sys

MARK = "@MARK@"
loaded = application


def application(environ, start_response):
    if environ["PATH_INFO"] != "/facts":
        return loaded(environ, start_response)
    python = ".".join(map(str, sys.version_info[:2]))
    text = " ".join([MARK, os.environ.get("SAID", "-"), os.environ.get("KEPT", "-"), python])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
'''
)


class Changes:
    """A site that is changed in one way after the other; each change is one switch."""

    def __init__(self, server: DebianMachine) -> None:
        self.server = server
        self.code = self.said = self.kept = self.domains = 0
        self.processes = 4
        self.pythons = cycle([""])
        self.python = ""

    def apply(self) -> None:
        more = f"[server]\nprocesses = {self.processes}\n[env]\nSAID = \"{self.said}\"\n"
        names = [HOST, *(f"www{number}.example.com" for number in range(self.domains))]
        text = site_file("hello").replace(f'["{HOST}"]', json.dumps(names))
        python = f'python = "{self.python}"\n' if self.python else ""
        self.server.write("/root/hello/app.py", APP.replace("@MARK@", str(self.code)))
        self.server.write("/root/hello/hostel.toml", text + python + more)
        self.server.run(["hostel", "apply", "/root/hello"], check=True, timeout=900)

    def new_code(self) -> None:
        self.code += 1
        self.apply()

    def new_variable(self) -> None:
        self.said += 1
        self.apply()

    def kept_variable(self) -> None:
        self.kept += 1
        argv = ["hostel", "env", "set", "KEPT", "--site", "hello"]
        self.server.run(argv, stdin=str(self.kept), check=True, timeout=900)

    def new_certificate(self) -> None:
        self.domains += 1
        self.apply()

    def other_processes(self) -> None:
        self.processes = 7 - self.processes
        self.apply()


def test_x(server: DebianMachine) -> None:
    import time
    changes = Changes(server)
    changes.apply()
    aim = Aim(server.address, 443, HOST, server.read("/var/lib/hostel/ca/ca.crt"))
    with Load(aim) as load:
        load.until(5000)
        t = time.monotonic(); n = load.tally().requests
        time.sleep(5)
        print("steady", (load.tally().requests - n) / (time.monotonic() - t))
        kinds = cycle([changes.new_code, changes.new_variable, changes.kept_variable, changes.new_certificate, changes.other_processes])
        for number in range(20):
            kind = next(kinds)
            before = load.tally()
            t = time.monotonic()
            kind()
            after = load.tally()
            print(kind.__name__, round(time.monotonic() - t, 1), after.requests - before.requests, after.wrong, after.announced - before.announced, after.met - before.met, after.idle - before.idle, after.slowest)
            time.sleep(2)
        time.sleep(8)
        end = load.tally()
        print({k: v for k, v in vars(end).items()})
test_x = pytest.mark.parametrize("server", ["applied"], indirect=True)(test_x)
