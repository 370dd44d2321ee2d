"""The first site file says what is known, and each example in it works when uncommented."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hostel.init_text import site_file
from hostel.site import Database, Hooks, Server, Site, WorkerTable
from hostel.sitefile import parse

PLAIN = Site(name="shop", app="app:app")

words = st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
                 min_size=1, max_size=4).filter(lambda words: bool(words[0]))  # fmt: skip
paths = st.from_regex(r"[^\x00-\x20/.~\x7f-\xa0'][^\x00-\x1f/\x7f-\xa0]{0,9}", fullmatch=True)


def again(site: Site, path: tuple[str, ...] = (".",)) -> Site:
    return parse(site_file(site, path), origin="hostel.toml", given={"path": list(path)})


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=[^ \n])", "", text, flags=re.M)


def test_a_plain_site_comes_back_with_nothing_but_its_name_and_app() -> None:
    assert again(PLAIN).model_dump() == PLAIN.model_dump()
    said = tomllib.loads(site_file(PLAIN))
    assert {key: value for key, value in said.items() if value != {}} == {
        "name": "shop",
        "app": "app:app",
    }


def test_no_comment_is_longer_than_an_editor_is_wide() -> None:
    assert max(map(len, site_file(PLAIN).splitlines())) <= 100


def test_every_key_of_a_site_file_is_in_it() -> None:
    """A key that is new belongs there too, as an example that can be uncommented."""
    said = tomllib.loads(uncommented(site_file(PLAIN)))
    assert set(said) == set(Site.model_fields)
    left_out = {"listen", "tasks", "cpu"}
    assert set(said["server"]) == set(Server.model_fields) - left_out
    for table in ("database", "tls", "health", "hooks"):
        model: Any = Site.model_fields[table].annotation
        kinds = [kind for kind in (model, *getattr(model, "__args__", ())) if _is_model(kind)]
        fields = kinds[0].model_fields if kinds else Database.model_fields
        assert set(said[table]) == set(fields)


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_all_examples_together_are_a_site() -> None:
    text = uncommented(site_file(PLAIN))
    assert parse(text, origin="hostel.toml").workers


EXAMPLES = [
    line for line in site_file(PLAIN).splitlines() if re.match(r"#[^ ]", line) and line[1] != "["
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_can_be_uncommented_alone(example: str) -> None:
    """With the header of its table, where that is commented as well."""
    lines = site_file(PLAIN).splitlines()
    at = lines.index(example)
    lines[at] = example[1:]
    if lines[at - 1].startswith("#["):
        lines[at - 1] = lines[at - 1][1:]
    parse("\n".join(lines), origin="hostel.toml")


@given(words, words, st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True), words))
def test_any_command_comes_back_word_for_word(
    build: list[str], release: list[str], workers: dict[str, list[str]]
) -> None:
    site = PLAIN.model_copy(
        update={
            "hooks": Hooks(build=tuple(build), release=tuple(release)),
            "workers": {
                name.strip("-"): WorkerTable(command=tuple(command))
                for name, command in workers.items()
            },
        }
    )
    assert again(site).model_dump() == site.model_dump()


@given(st.lists(paths, min_size=1, max_size=3, unique=True), st.lists(paths, max_size=2))
def test_any_path_comes_back(folders: list[str], kept: list[str]) -> None:
    found = Site(
        name="shop",
        app="app:app",
        path=tuple(folders),
        keep=tuple(dict.fromkeys(kept)),
        static={f"/{number}": folder for number, folder in enumerate(folders)},
    )
    assert again(found).model_dump() == found.model_dump()


def test_the_path_is_only_said_where_it_is_not_the_usual_one() -> None:
    site = PLAIN.model_copy(update={"path": ("src", ".")})
    assert '#path = ["src", "."]' in site_file(site, ("src", "."))
    assert '\npath = ["src", "."]' in site_file(site, (".",))
    assert again(site, ("src", ".")).path == again(site, (".",)).path == ("src", ".")


def test_a_database_is_there_or_one_line_away() -> None:
    with_one = PLAIN.model_copy(update={"database": Database()})
    assert again(with_one).database is not None
    assert again(PLAIN).database is None
    assert parse(site_file(PLAIN).replace("#[database]", "[database]"), origin="x").database


def test_domains_and_variables_come_back() -> None:
    site = Site(name="shop", app="app:app", domains=("shop.example",), env={"A b": "\"'\\\n\x7fé"})
    assert again(site).model_dump() == site.model_dump()
