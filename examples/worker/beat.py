"""The worker: writes a line every few seconds until it is asked to end, and then one more."""

import signal
import sys
import threading

from diary import write


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    ending = threading.Event()
    # A worker is asked by SIGTERM to end. What it has in hand it finishes first.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    write("beat", "begins")
    while not ending.wait(seconds):
        write("beat", "works")
    write("beat", "ends")


if __name__ == "__main__":
    main()
