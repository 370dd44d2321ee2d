"""The schema and the annotated reference say what the model says."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from hostel import schema
from hostel.site import TABLES_OF_TABLES, Site
from hostel.sitefile import parse
from hostel.toml_lines import key_lines

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "hostel.toml"
SITE_FILES = [REFERENCE, *sorted(ROOT.glob("examples/*/hostel.toml"))]


def model_keys(model: type[BaseModel] = Site, above: tuple[str, ...] = ()) -> Iterator[Any]:
    for name, field in model.model_fields.items():
        yield (*above, name)
        inside = (*above, name, "NAME") if name in TABLES_OF_TABLES else (*above, name)
        for kind in _types(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from model_keys(kind, inside)


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _types(part)
    yield getattr(annotation, "__origin__", None)


def keys_of(path: Path) -> dict[tuple[str | int, ...], int]:
    """The keys of a site file and their lines; those of workers and jobs as of any "NAME"."""
    found: dict[tuple[str | int, ...], int] = {}
    for place, line in key_lines(path.read_text(encoding="utf-8")).items():
        named = len(place) == 3 and place[0] in TABLES_OF_TABLES
        found.setdefault((place[0], "NAME", place[2]) if named else place, line)
    return found


def fits(said: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(schema.document()).is_valid(said)


def test_the_schema_in_the_docs_is_current() -> None:
    kept = (ROOT / "docs" / "hostel.schema.json").read_text(encoding="utf-8")
    assert kept == schema.text(), "run: python -m hostel.schema docs/hostel.schema.json"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.document())


@pytest.mark.parametrize("path", SITE_FILES, ids=lambda path: path.parent.name)
def test_the_reference_and_the_examples_fit_schema_and_loader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(tomllib.loads(text), schema.document())
    assert parse(text, origin=path.name)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"database": True},
        {"hooks": {"build": "a b", "release": ["a", "b"]}},
        {"server": {"max_body": 5}},
        {"server": {"max_body": "5MB"}},
        {"server": {"memory": "512MB", "tasks": 200, "cpu": 1.5}},
        {"workers": {}},
        {"workers": {"a": "b c", "b": ["b", "c"], "c": {"command": "b", "stop_timeout": "5m"}}},
        {"cron": {"a": {"schedule": "@daily", "command": "b", "timeout": 5}}},
    ],
)
def test_every_way_to_write_a_value_fits(said: dict[str, Any]) -> None:
    assert fits(said)


@pytest.mark.parametrize(
    "said",
    [
        {"nme": "x"},
        {"name": "No"},
        {"python": 3.11},
        {"env": {"PORT": 80}},
        {"env": {"A=B": "x"}},
        {"static": {"static": "x"}},
        {"static": {"/static/": "x"}},
        {"tls": {"mode": "acme"}},
        {"server": {"processes": 0}},
        {"hooks": {"build": []}},
        {"domains": "example.com"},
        {"workers": {"A": "x"}},
        {"workers": {"a": {"count": 2}}},
        {"workers": {"a": {"command": "x", "count": 0}}},
        {"cron": {"a": "x"}},
        {"cron": {"a": {"command": "x"}}},
        {"server": {"memory": 1}},
        {"router": {"http": 80}},
    ],
)
def test_slips_that_a_schema_can_see_do_not_fit(said: dict[str, Any]) -> None:
    assert not fits(said)


def test_every_key_is_explained_in_the_schema() -> None:
    document = schema.document()
    for part in [document, *document["$defs"].values()]:
        for name, said in part["properties"].items():
            table = document["$defs"].get(said.get("$ref", "").rpartition("/")[2], {})
            assert said.get("description") or table.get("description"), name


def test_the_reference_shows_every_key_and_no_other() -> None:
    shown = set(keys_of(REFERENCE))
    named = ("static", "env", *TABLES_OF_TABLES)
    free = {place for place in shown if place[0] in named and len(place) == 2}
    assert shown - free == set(model_keys())


def test_the_reference_says_the_default_of_every_key() -> None:
    lines = REFERENCE.read_text(encoding="utf-8").splitlines()
    for place, number in keys_of(REFERENCE).items():
        above = []
        for line in reversed(lines[: number - 1]):
            if not line and above:
                break
            above.append(line)
        free = ("hooks", "health", "env", "static", *TABLES_OF_TABLES)
        if len(place) == 1 or len(place) == 3 or place[0] not in free:
            comment = " ".join(above)
            assert "Default" in comment or lines[number - 1].startswith("["), place
