"""What is copied to where a site's own Python runs it."""

from __future__ import annotations

from pathlib import Path

from hostel import boot
from hostel.boot_files import BESIDE, FOR_ALL, texts

SENT_ALONG = {"check.py"}
"""What goes on a command line, and is copied nowhere."""


def test_every_file_of_boot_has_its_place() -> None:
    there = {path.name for path in Path(str(boot.__file__)).parent.glob("*.py")}
    assert {*BESIDE, *FOR_ALL} | SENT_ALONG == there - {"__init__.py"}


def test_the_texts_are_the_files() -> None:
    for name, text in texts((*BESIDE, *FOR_ALL)).items():
        compile(text, name, "exec")
