"""Which versions of Python a project asks for: `3.11`, `>=3.11,<3.14`, `^3.11`. Pure.

Knows releases only (3.11.2), no pre-releases: Hostel hosts on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Version = tuple[int, ...]
Test = Callable[[Version], bool]

CLAUSE = re.compile(r"(===|==|~=|!=|<=|>=|<|>|\^|~|)\s*v?(\d+(?:\.\d+)*)(?:[._-]?[a-z]\w*)?(\.\*)?")
NAMED = re.compile(r"(?:cpython|python)?[-@]?(\d+(?:\.\d+)*)(?:-.*)?")


class NotAVersion(ValueError):
    """The text names no version of CPython."""


def parse(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))


def fits(wish: str) -> Test:
    """A test for versions that meet `wish`; a bare version means all that begin with it.

    Raises NotAVersion for what cannot be read, `pypy3.10` among it.
    """
    wish = wish.strip()
    if named := NAMED.fullmatch(wish):
        return _begins(parse(named[1]))
    ways = [_all(part) for part in wish.split("||")]
    return lambda version: any(way(version) for way in ways)


def _all(text: str) -> Test:
    tests = [_clause(part.strip()) for part in text.split(",") if part.strip()]
    if not tests:
        raise NotAVersion(text)
    return lambda version: all(test(version) for test in tests)


def _clause(text: str) -> Test:
    if text == "*":
        return lambda _version: True
    match = CLAUSE.fullmatch(text)
    if match is None:
        raise NotAVersion(text)
    operator, release = match[1], parse(match[2])
    tests: dict[str, Test] = {
        "": _begins(release),
        "==": _begins(release),
        "===": _begins(release),
        "~": _begins(release[:2]),
        "!=": lambda version: (
            not (_begins(release)(version) if match[3] else _padded(version) == _padded(release))
        ),
        ">=": lambda version: _padded(version) >= _padded(release),
        "<=": lambda version: _padded(version) <= _padded(release),
        ">": lambda version: _padded(version) > _padded(release),
        "<": lambda version: _padded(version) < _padded(release),
        "~=": lambda version: (
            _padded(version) >= _padded(release) and _begins(release[:-1])(version)
        ),
        "^": lambda version: _padded(version) >= _padded(release) and _begins(release[:1])(version),
    }
    return tests[operator]


def _begins(release: Version) -> Test:
    return lambda version: version[: len(release)] == release


def _padded(version: Version) -> Version:
    return (*version, 0, 0, 0)[:4]
