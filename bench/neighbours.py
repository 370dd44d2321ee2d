"""`python -m bench.neighbours`: how a site answers while its neighbour misbehaves.

Boots a Debian machine, as root; two minutes. wrk asks `quiet` through the router while `bad` is
made to do one thing after the other. `--write` puts the table into bench/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.load import Sample, load
from bench.processes import Failed, others_busy
from bench.report import write
from bench.servers import put, server, timed
from tests.system.machines import DebianMachine

BEGIN = "<!-- measured: python -m bench.neighbours --write -->"
CONNECTIONS = 8
QUIET, PLAIN = "quiet", '[tls]\nmode = "off"\n'
BAD = """\
def application(environ, start_response):
    exec(environ["wsgi.input"].read().decode(), {})
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
LIMITS = """\
[server]
processes = 2
threads = 8
memory = "300MB"
tasks = 300
"""
MISDEEDS = {
    "hangs in all its threads": "import time; time.sleep(60)",
    "computes in all its processes": "while True: pass",
    "forks without end": """\
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
    "eats memory, is killed and begins again": "all = []\nwhile True: all.append(bytearray(10**7))",
    "crashes": "import ctypes; ctypes.string_at(0)",
}
AT_ONCE = 20
"""How often a misdeed is asked for, more than it has threads."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=int, default=5, help="of load, each time; default: 5")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    options = parser.parse_args()
    busy = others_busy()
    try:
        with server() as machine:
            text = table(measured(machine, options.rounds, options.seconds))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    text = f"Before it other programs took up to {busy:.0f} % of the processors.\n\n{text}"
    print(text)
    if options.write:
        write(Path(__file__).with_name("README.md"), text, BEGIN)
    return 0


def measured(
    machine: DebianMachine, rounds: int, seconds: int
) -> dict[str, list[tuple[Sample, Sample]]]:
    """For each misdeed, by round: the neighbour before it, and during it."""
    folders = put(machine, QUIET, more=PLAIN), put(machine, "bad", BAD, LIMITS + PLAIN)
    timed(machine, "hostel", "apply", *folders)

    def asked() -> Sample:
        return load(f"http://{machine.address}/", CONNECTIONS, seconds, f"{QUIET}.example.com")

    asked()
    found: dict[str, list[tuple[Sample, Sample]]] = {}
    for _ in range(rounds):
        for name, code in MISDEEDS.items():
            before = asked()
            with misdeed(machine, code):
                during = asked()
            found.setdefault(name, []).append((before, during))
    return found


@contextlib.contextmanager
def misdeed(machine: DebianMachine, code: str) -> Iterator[None]:
    """Ask for it over and over; at the end the bad site is killed, and comes back by itself."""
    channels = [_asked(machine, code) for _ in range(AT_ONCE)]
    time.sleep(1)
    try:
        yield
    finally:
        for one in channels:
            one.close()
        machine.run(["systemctl", "kill", "-s", "KILL", "hostel-instance@bad-1"], check=True)
        _await(machine)


def _asked(machine: DebianMachine, code: str) -> socket.socket:
    one = socket.create_connection((machine.address, 80), 30)
    head = f"POST / HTTP/1.1\r\nHost: bad.example.com\r\nContent-Length: {len(code)}\r\n\r\n"
    with contextlib.suppress(OSError):  # It has crashed already.
        one.sendall(f"{head}{code}".encode())
    return one


def _await(machine: DebianMachine, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), _asked(machine, "pass") as one:
            one.settimeout(5)
            if one.recv(12) == b"HTTP/1.1 200":
                return
        time.sleep(0.5)
    raise Failed("the bad site does not come back")


def table(found: dict[str, list[tuple[Sample, Sample]]]) -> str:
    lines = ["| the neighbour | p99 before, ms | p99 meanwhile, ms | ratio | requests/s | lost |"]
    lines += ["|---|--:|--:|--:|---|--:|"]
    for name, pairs in found.items():
        before, during = (median(one.slow for one in side) for side in zip(*pairs, strict=True))
        rates = (median(one.rate for one in side) for side in zip(*pairs, strict=True))
        ratio = median(after.slow / first.slow for first, after in pairs)
        lost = sum(after.lost for _, after in pairs)
        shown = " : ".join(f"{rate:,.0f}" for rate in rates)
        lines.append(
            f"| {name} | {before:.1f} | {during:.1f} | **{ratio:.1f}** | {shown} | {lost} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
