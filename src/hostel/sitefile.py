"""The site file: TOML text to a Site, or every problem in it at once, each with key and line.

Reads the site file and, through `hostel.detect`, the project beside it; changes nothing. What a
value may be is said by `hostel.site`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hostel import detect
from hostel.errors import UsageError
from hostel.site import RESERVED, Site
from hostel.site_values import name_from, shown
from hostel.target import Target
from hostel.toml_lines import Location, key_lines

_AT = re.compile(r"\(at line (\d+), column \d+\)")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a site file: where (keys, then line if known) and what."""

    keys: Location
    line: int | None
    what: str


def load_site(target: Target) -> tuple[Site, tuple[str, ...]]:
    """The site that `target` names, and what was guessed about it, a sentence each.

    What the site file leaves out is worked out from the project. Raises UsageError with all
    problems of the file, or where no app can be found.
    """
    root = target.root
    given = {"name": name_from(root.name), "path": list(detect.import_path(root))}
    text, origin = "", "the command line"
    if target.site_file is not None:
        text, origin = read(target.site_file), target.site_file.name
    said = table_of(text, origin, target.table)
    forced = {"app": target.app} if target.app else {}
    if "app" in said or forced:
        site = _validated({**given, **said, **forced}, text, origin, target.table)
        app, because = detect.settle(root, site.app, site.path)
        note = (f'app = "{app}": {because}.',) if because else ()
        return site.model_copy(update={"app": app}), note
    # The file's own problems first: they are certain, a guess is not.
    _validated({**given, "app": "app:app", **said}, text, origin, target.table)
    guess = detect.detect(root)
    guessed, notes = _filled(guess, said)
    return _validated({**given, **guessed, **said}, text, origin, target.table), notes


def parse(
    text: str,
    *,
    origin: str,
    table: tuple[str, ...] = (),
    given: Mapping[str, Any] | None = None,
) -> Site:
    """A site from TOML text alone; `given` holds values for keys that the text leaves out.

    `origin` names the file in messages, `table` is where in it the site is. Raises UsageError.
    """
    said = table_of(text, origin, table)
    return _validated({**(given or {}), **said}, text, origin, table)


def read(path: Path) -> str:
    """The file as text. Raises UsageError where it is missing, no file, unreadable or not UTF-8."""
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise UsageError(
            f"reading {path}", "it is a folder, not a file", "Remove it, or rename it."
        ) from None
    except OSError as error:
        raise UsageError(
            f"reading {path}", error.strerror or str(error), "Make it a file that you can read."
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"reading {path}", f"line {line} is not UTF-8", "Save the file as UTF-8."
        ) from None


def table_of(text: str, origin: str, table: tuple[str, ...]) -> dict[str, Any]:
    """The site's own table of a TOML text, unchecked. Raises UsageError for a syntax error."""
    try:
        found: Any = tomllib.loads(text)
    except RecursionError:
        raise _refused(origin, [Problem((), None, "it is nested too deeply")], table) from None
    except ValueError as error:
        raise _refused(origin, [_syntax(error)], table) from None
    for index, part in enumerate(table):
        found = found.get(part, {})
        if not isinstance(found, dict):
            keys: Location = table[: index + 1]
            problem = Problem(
                keys, key_lines(text).get(keys), f"must be a table, not {_kind(found)}"
            )
            raise _refused(origin, [problem], ())
    assert isinstance(found, dict)
    return found


def _filled(guess: detect.Guess, said: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The guess as values for the keys that the file leaves out, and notes about them."""
    values: dict[str, Any] = {"app": guess.app}
    notes = [
        f'app = "{guess.app}": {guess.because}. '
        "Say otherwise with app in hostel.toml, or `hostel up module:callable`."
    ]
    if guess.static and "static" not in said and "hooks" not in said:
        values |= {"static": dict(guess.static), "hooks": {"build": list(guess.build)}}
        for prefix, folder in guess.static.items():
            notes.append(
                f"Static files: {prefix} is served from {folder}, filled by "
                f"`{' '.join(guess.build)}`. Say otherwise with [static] or [hooks]."
            )
    if guess.advice and "static" not in said:
        notes.append(guess.advice)
    if guess.keep and "keep" not in said:
        values["keep"] = list(guess.keep)
        notes.append(
            f"{', '.join(guess.keep)} stays in the project, since it is data. "
            "Say otherwise with keep in hostel.toml."
        )
    return values, tuple(notes)


def _validated(values: Mapping[str, Any], text: str, origin: str, table: tuple[str, ...]) -> Site:
    try:
        return Site.model_validate(dict(values))
    except ValidationError as error:
        lines = key_lines(text)
        problems = [_problem(details, lines, table) for details in error.errors()]
        raise _refused(origin, problems, table) from None


def _refused(origin: str, problems: list[Problem], table: tuple[str, ...]) -> UsageError:
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


def _syntax(error: ValueError) -> Problem:
    said = str(error)
    match = _AT.search(said)
    what = _AT.sub("", said).replace("(at end of document)", "at the end of the file").strip()
    line = int(match[1]) if match else None
    return Problem((), line, f"this is not TOML: {what[:1].lower()}{what[1:]}")


# -- what pydantic found, in words --------------------------------------------------------------


def _problem(
    details: ErrorDetails, lines: Mapping[Location, int], table: tuple[str, ...]
) -> Problem:
    keys: Location = details["loc"]
    if len(keys) == 3 and keys[2] == "[key]":
        keys = keys[:2]
    places = [(*table, *keys[:length]) for length in range(len(keys), 0, -1)]
    line = next((lines[place] for place in places if place in lines), None)
    return Problem(keys, line, _what(details, keys))


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
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    wanted = _WANTED.get(kind)
    return f"must be {wanted}, not {_kind(details['input'])}" if wanted else details["msg"]


_WANTED = {
    "string_type": "text in quotes",
    "string_unicode": "text in quotes",
    "int_type": "a whole number",
    "tuple_type": "a list, in brackets",
    "dict_type": "a table",
    "model_type": "a table",
    "missing": "given",
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


def _kind(value: object) -> str:
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
    where = f"it belongs in [{elsewhere[0]}]" if elsewhere[0] else "it belongs above all tables"
    return f"unknown key here; {where}"


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word.lower()[:100], list(known), 1)
    return f"; did you mean {shown(near[0])}?" if near else ""


def _models() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The top ("") and each table of the model, with their keys."""
    yield "", tuple(Site.model_fields)
    for name, field in Site.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield name, tuple(kind.model_fields)
