"""The file that all three share: one line for each thing that happened."""

import os
from datetime import datetime
from pathlib import Path


def diary() -> Path:
    """In the site's data folder: it outlives releases, and all processes of the site reach it."""
    return Path(os.environ.get("DATA_DIR", ".")) / "diary.txt"


def write(who: str, what: str) -> None:
    line = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}  {who} {os.getpid()}  {what}\n"
    # One write of a short line to the end of a file: no other process can come between.
    with diary().open("ab", buffering=0) as file:
        file.write(line.encode())


def last(count: int) -> list[str]:
    """The newest lines, the newest first."""
    try:
        lines = diary().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return lines[: -count - 1 : -1]
