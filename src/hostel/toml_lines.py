"""Where in TOML text each key is, as good as can be told; only used to report problems. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Location = tuple[str | int, ...]
"""Keys from the top of the file; the number of an item where a list is."""

LONGEST = 200
"""Lines of one statement within which the search for its end goes on."""


def key_lines(text: str) -> dict[Location, int]:
    """The line of each key and table in TOML text, by its path, the first being 1.

    Statements are told apart by TOML's own parser: a statement ends with the first line at which
    it parses, so what looks like a key inside a long string is not taken for one.
    """
    found: dict[Location, int] = {}
    lines = text.splitlines()
    prefix: Location = ()
    index = 0
    while index < len(lines):
        number = index + 1
        header = lines[index].lstrip().startswith("[")
        index, parsed = _statement(lines, index)
        for path in _paths(parsed):
            place = path if header else (*prefix, *path)
            found.setdefault(place, number)
            if header:
                prefix = path
    return found


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    """Where the next statement starts, and what this one says; nothing if it cannot be told."""
    for end in range(start + 1, min(start + LONGEST, len(lines)) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except (ValueError, RecursionError):
            continue
    return start + 1, {}


def _paths(parsed: object) -> Iterator[Location]:
    """Paths to all keys of one statement, outer ones first, no deeper than a site file is."""
    level: list[tuple[Location, object]] = [((), parsed)]
    for _ in range(5):
        deeper: list[tuple[Location, object]] = []
        for path, value in level:
            inner = value[0] if isinstance(value, list) and len(value) == 1 else value
            if isinstance(inner, dict):
                deeper += [((*path, key), item) for key, item in inner.items()]
        yield from (path for path, _value in deeper)
        level = deeper
