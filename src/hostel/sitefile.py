"""The site file: TOML text to a Site, or every problem in it at once, each with key and line.

Reads the site file and, through `hostel.detect`, the project beside it; changes nothing. What a
value may be is said by `hostel.site`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hostel import detect, procfile
from hostel.django_project import text_of
from hostel.errors import UsageError
from hostel.site import Site
from hostel.site_problems import Problem, kind_of, line_of, problem_of, refused, syntax
from hostel.site_values import name_from, shown
from hostel.target import Target
from hostel.toml_lines import Location, key_lines
from hostel.webline import WebApp


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
    file = table_of(text, origin, target.table)
    forced = {"app": target.app} if target.app else {}
    named = "app" in file or bool(forced)
    lines = procfile.found_in(text_of(root / procfile.NAME), file, app_is_named=named)
    said = {**file, **lines.values}
    if named:
        site = _validated({**given, **said, **forced}, text, origin, target.table)
        app, because = detect.settle(root, site.app, site.path)
        note = (f'app = "{app}": {because}.',) if because else ()
        return site.model_copy(update={"app": app}), (*note, *lines.notes)
    # The file's own problems first: they are certain, a guess is not.
    _validated({**given, "app": "app:app", **said}, text, origin, target.table)
    if lines.web is not None:
        given["path"] = list(dict.fromkeys([*lines.web.folders, *detect.import_path(root)]))
    guess = _guessed(root, lines.web, said.get("path", given["path"]))
    guessed, notes = _filled(guess, file, lines.values)
    site = _validated({**given, **said, **guessed}, text, origin, target.table)
    return site, (*notes, *lines.notes)


def _guessed(root: Path, web: WebApp | None, path: Sequence[str]) -> detect.Guess:
    """The app as the Procfile names it, if it does, with what its framework needs beside it."""
    if web is None:
        return detect.detect(root)
    app, _because = detect.settle(root, web.app, path)
    try:
        guess = detect.detect(root)
    except UsageError:
        # What is served is known all the same.
        guess = detect.Guess(app, "")
    return replace(guess, app=app, because="the web line of Procfile serves it")


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
        raise refused(origin, [Problem((), None, "it is nested too deeply")], table) from None
    except ValueError as error:
        raise refused(origin, [syntax(error)], table) from None
    for index, part in enumerate(table):
        found = found.get(part, {})
        if not isinstance(found, dict):
            keys: Location = table[: index + 1]
            problem = Problem(
                keys, key_lines(text).get(keys), f"must be a table, not {kind_of(found)}"
            )
            raise refused(origin, [problem], ())
    assert isinstance(found, dict)
    return found


def _filled(
    guess: detect.Guess, said: Mapping[str, Any], added: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The guess as values for the keys that the file leaves out, and notes about them.

    `said` is the file's, `added` what the Procfile adds to it.
    """
    values: dict[str, Any] = {"app": guess.app}
    notes = [
        f'app = "{guess.app}": {guess.because}. '
        "Say otherwise with app in hostel.toml, or `hostel up module:callable`."
    ]
    if guess.static and "static" not in said and "hooks" not in said:
        hooks = {**added.get("hooks", {}), "build": list(guess.build)}
        values |= {"static": dict(guess.static), "hooks": hooks}
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
    lines = key_lines(text)
    try:
        site = Site.model_validate(dict(values))
    except ValidationError as error:
        problems = [problem_of(details, lines, table) for details in error.errors()]
        raise refused(origin, problems, table) from None
    unknown = list(_unknown_zones(site, lines, table))
    if unknown:
        raise refused(origin, unknown, table)
    return site


def _unknown_zones(
    site: Site, lines: Mapping[Location, int], table: tuple[str, ...]
) -> Iterator[Problem]:
    """Time zones that this machine does not have: systemd would refuse the timer."""
    from zoneinfo import ZoneInfo

    for name, job in site.cron.items():
        keys: Location = ("cron", name, "timezone")
        try:
            ZoneInfo(job.timezone or "UTC")
        except (LookupError, ValueError, OSError):
            what = f"this machine knows no time zone {shown(job.timezone)}"
            yield Problem(keys, line_of(keys, lines, table), what)
