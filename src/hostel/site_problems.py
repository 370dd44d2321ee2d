"""What is wrong with a site file, in words: each problem with its key, its line and a sentence.

Makes sentences of what pydantic and TOML's parser found. Reads no file; what a value may be is
`hostel.site`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from hostel.errors import UsageError
from hostel.site import RESERVED, TABLES_OF_TABLES, Site
from hostel.site_values import shown
from hostel.toml_lines import Location

_AT = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a site file: where (keys, then line if known) and what."""

    keys: Location
    line: int | None
    what: str


def refused(origin: str, problems: list[Problem], table: tuple[str, ...]) -> UsageError:
    """All problems as one error, in the order of the file `origin`."""
    problems = sorted(problems, key=lambda problem: problem.line or 0)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return UsageError(
        f"reading {origin}",
        count,
        "Correct this and run the same command again.",
        "\n".join(_shown(origin, problem, table) for problem in problems),
    )


def _shown(origin: str, problem: Problem, table: tuple[str, ...]) -> str:
    at = f"{origin}:{problem.line}" if problem.line else origin
    if not problem.keys:
        return f"{at}  {problem.what}"
    *tables, key = [*table, *(_key(part) for part in problem.keys)]
    inside = f"[{'.'.join(tables)}] " if tables else ""
    return f"{at}  {inside}{key}: {problem.what}"


def _key(part: str | int) -> str:
    if isinstance(part, int):
        return f"item {part + 1}"
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else shown(part)


def syntax(error: ValueError) -> Problem:
    """What TOML's parser refused."""
    said = str(error)
    match = _AT.search(said)
    what = _AT.sub("", said).replace("(at end of document)", "at the end of the file").strip()
    line = int(match[1]) if match else None
    return Problem((), line, f"this is not TOML: {what[:1].lower()}{what[1:]}")


# -- what pydantic found, in words --------------------------------------------------------------


def problem_of(
    details: ErrorDetails, lines: Mapping[Location, int], table: tuple[str, ...]
) -> Problem:
    """What pydantic refused; `lines` are those of the file, `table` is where in it the site is."""
    keys: Location = details["loc"]
    if len(keys) == 3 and keys[2] == "[key]":
        keys = keys[:2]
    return Problem(keys, line_of(keys, lines, table), _what(details, keys))


def line_of(keys: Location, lines: Mapping[Location, int], table: tuple[str, ...]) -> int | None:
    """The line of a key, or of the nearest table around it that has one."""
    places = [(*table, *keys[:length]) for length in range(len(keys), 0, -1)]
    return next((lines[place] for place in places if place in lines), None)


def _what(details: ErrorDetails, keys: Location) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(keys)
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        near = _nearest(str(details["input"]), re.findall(r"'(\w+)'", str(context["expected"])))
        return f"must be {str(context['expected']).replace(chr(39), chr(34))}{near}"
    bounds = {"greater_than_equal": "at least {ge}", "less_than_equal": "at most {le}"}
    if kind in bounds:
        return f"must be {bounds[kind].format(**context)}"
    if kind in _PLAIN:
        return _PLAIN[kind]
    wanted = _WANTED.get(kind)
    return f"must be {wanted}, not {kind_of(details['input'])}" if wanted else details["msg"]


_PLAIN = {
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "missing": "is missing",
    "finite_number": "must be a number that ends",
}

_WANTED = {
    "string_type": "text in quotes",
    "string_unicode": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list, in brackets",
    "dict_type": "a table",
    "model_type": "a table",
}

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number with a fraction"),
    (str, "text"),
    ((list, tuple), "a list"),
    (dict, "a table"),
    ((date, time), "a date or time"),
)


def kind_of(value: object) -> str:
    """What TOML calls the kind of a value."""
    return next((word for kind, word in _KINDS if isinstance(value, kind)), "this")


def _unknown(keys: Location) -> str:
    """What to say of a key that no model has: reserved, misplaced, misspelt or unheard of."""
    *tables, key = (str(part) for part in keys)
    path = (*tables, key)
    if path in RESERVED:
        return RESERVED[path]
    known = dict(_models())
    place = tables[0] if tables else ""
    near = _nearest(key, known.get(place, ()))
    elsewhere = [name for name, fields in known.items() if key in fields and name != place]
    if near or not elsewhere:
        return f"unknown key{near}"
    inside = f"{elsewhere[0]}.NAME" if elsewhere[0] in TABLES_OF_TABLES else elsewhere[0]
    where = f"it belongs in [{inside}]" if inside else "it belongs above all tables"
    return f"unknown key here; {where}"


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word.lower()[:100], list(known), 1)
    return f"; did you mean {shown(near[0])}?" if near else ""


def _models() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The top ("") and each table of the model, with their keys."""
    yield "", tuple(Site.model_fields)
    for name, field in Site.model_fields.items():
        for kind in _types(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield name, tuple(kind.model_fields)


def _types(annotation: Any) -> Iterator[Any]:
    """A type and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)
