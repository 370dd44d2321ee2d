"""`script/bench`: run the contests one after the other and print the tables."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bench import report
from bench.contests import CONTESTS
from bench.load import Effort
from bench.ours import GUESTBOOK, ROOT
from bench.processes import Failed, others_busy, run
from bench.rivals import Place
from hostel.platforms.private import machine_here

RIVALS = ("gunicorn>=23", "mod_wsgi==6.1.1")


def main() -> int:
    options = _options()
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="hostel-bench-"))
    work.chmod(0o755)
    results: list[report.Result] = []
    failed, busy = False, 0.0
    try:
        place = _place(work)
        text = report.machine(place.venv)
        effort = Effort(options.rounds, options.seconds)
        for name in options.only or CONTESTS:
            print(f"{name} ...", file=sys.stderr, flush=True)
            busy = max(busy, others_busy())
            try:
                results += CONTESTS[name](place, effort)
            except Failed as error:
                failed = True
                print(f"{name} could not be measured: {error}", file=sys.stderr)
        text += (
            f" {effort.rounds} rounds of {effort.seconds} s. Before the contests other programs"
            f" took up to {busy:.0f} % of the processors.\n\n{report.tables(results)}"
        )
        print(text)
        if options.write and not failed:
            report.write(ROOT / "bench" / "README.md", text)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--seconds", type=int, default=4, help="of load, each time; default: 4")
    parser.add_argument(
        "--only", action="append", choices=CONTESTS, help="one contest; may be repeated"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    return parser.parse_args()


def _place(work: Path) -> Place:
    """A virtual environment for the others, of the system's Python, as uWSGI's is.

    Its interpreter is a copy: one that this program shared would count only in part.
    """
    venv, uv = work / "venv", ROOT / ".venv" / "bin" / "uv"
    run(["/usr/bin/python3", "-m", "venv", "--copies", venv])
    needs = ["-r", str(GUESTBOOK / "requirements.txt"), *RIVALS]
    run(
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            venv / "bin" / "python",
            *needs,
        ],
        300,
    )
    return Place(work, machine_here().runner, venv)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
