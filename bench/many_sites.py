"""`python -m bench.many_sites`: one server with a hundred sites: memory, and how long things take.

Boots a Debian machine, as root; about ten minutes. `--write` puts the table into bench/README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.processes import Failed, others_busy
from bench.report import Figure, tables, write
from bench.servers import HELLO, memory, put, server, timed
from tests.system.machines import DebianMachine

BEGIN = "<!-- measured: python -m bench.many_sites --write -->"
ONE = "[server]\nprocesses = 1\n"
TIMES = 5
"""How often each is measured."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=100, help="default: 100")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    options = parser.parse_args()
    busy = others_busy()
    try:
        with server() as machine:
            text = tables(measured(machine, options.sites))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    text = f"Before it other programs took up to {busy:.0f} % of the processors.\n\n{text}"
    print(text)
    if options.write:
        write(Path(__file__).with_name("README.md"), text, BEGIN)
    return 0


def measured(machine: DebianMachine, sites: int) -> list[Figure]:
    names = [f"site{number}" for number in range(sites)]
    timed(machine, "hostel", "apply", put(machine, names[0], more=ONE))
    alone = [switch(machine, names[0], number) for number in range(TIMES)]
    folders = [put(machine, name, more=ONE) for name in names[1:]]
    timed(machine, "hostel", "apply", *folders)
    for name in names * 3:
        ask(machine, name)
    each = memory(machine)
    among = [switch(machine, names[0], number) for number in range(TIMES)]
    settled(machine)
    nothing = [timed(machine, "hostel", "plan", "--all", "--exit-code") for _ in range(TIMES)]
    more = [put(machine, f"more{number}", more=ONE) for number in range(TIMES)]
    one_more = [timed(machine, "hostel", "apply", folder) for folder in more]
    return [
        Figure(
            f"memory (PSS) of each of {sites} sites, one process, after 3 requests", "MB", each, 10
        ),
        Figure("a switch, the site alone on its server", "s", alone),
        Figure(f"a switch, beside {sites - 1} others", "s", among),
        Figure("one more site, nothing to install", "s", one_more, 5),
        Figure(f"`hostel plan --all` of {sites} sites, nothing to do", "s", nothing, 3),
    ]


def switch(machine: DebianMachine, name: str, number: int) -> float:
    """How long other code takes to go live."""
    folder = put(machine, name, f"{HELLO}\n# {number} {'again' * (number + 1)}\n", ONE)
    return timed(machine, "hostel", "apply", folder)


def settled(machine: DebianMachine) -> None:
    """Wait until nothing drains any more."""
    argv = ["systemctl", "list-units", "--state=deactivating", "--no-legend", "hostel-*"]
    while machine.run(argv, check=True).stdout.strip():
        pass


def ask(machine: DebianMachine, name: str) -> None:
    host = f"{name}.example.com"
    authority = ["--cacert", "/var/lib/hostel/ca/ca.crt"]
    argv = ["curl", "-sSf", *authority, "--resolve", f"{host}:443:127.0.0.1", f"https://{host}/"]
    timed(machine, *argv)


if __name__ == "__main__":
    sys.exit(main())
