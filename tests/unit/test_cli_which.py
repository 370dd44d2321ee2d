"""Which site is meant: by its name, by its folder, or because there is no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.cli import which
from hostel.errors import UsageError
from hostel.platforms.debian import ServerPlaces


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerPlaces]:
    """A server that knows no site, and an empty folder to stand in."""
    places = ServerPlaces(etc=tmp_path / "etc", var=tmp_path / "var")
    monkeypatch.setattr(which, "PLACES", places)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return places


def live(server: ServerPlaces, *names: str) -> None:
    for name in names:
        server.site(name).records.mkdir(parents=True)


def write(file: str, text: str) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text)


def refusal(given: str | None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        which.site_name(given)
    assert caught.value.remedy
    return caught.value


def test_a_name_is_taken_as_it_is_whether_there_is_such_a_site_or_not(server: ServerPlaces) -> None:
    live(server, "shop")
    assert which.site_name("shop") == "shop"
    assert which.site_name("blog") == "blog"


def test_a_site_of_the_server_wins_over_a_folder_of_its_name(server: ServerPlaces) -> None:
    write("shop/hostel.toml", 'name = "other"')
    assert which.site_name("shop") == "other"
    live(server, "shop")
    assert which.site_name("shop") == "shop"
    assert which.site_name("./shop") == "other"


@pytest.mark.parametrize("given", [None, ".", "hostel.toml", "../here"])
def test_a_folder_gives_the_name_that_its_site_file_says(given: str | None) -> None:
    write("hostel.toml", 'name = "shop"')
    assert which.site_name(given) == "shop"


def test_a_site_file_without_a_name_takes_that_of_its_folder() -> None:
    write("My Shop/hostel.toml", "")
    write("tool/pyproject.toml", "[tool.hostel]\n")
    assert which.site_name("My Shop") == "my-shop"
    assert which.site_name("./tool") == "tool"


def test_what_else_is_wrong_in_a_site_file_does_not_matter() -> None:
    write("hostel.toml", 'name = "shop"\nnonsense = 1\n[server]\nprocesses = "many"\n')
    assert which.site_name(None) == "shop"


@pytest.mark.parametrize("text", ["name = ", 'name = "Not A Name"', "name = 3", 'name = "public"'])
def test_a_site_file_that_gives_no_name_is_an_error_and_no_guess(
    server: ServerPlaces, text: str
) -> None:
    live(server, "shop")
    write("hostel.toml", text)
    refusal(None)


def test_the_only_site_there_is_is_meant(server: ServerPlaces) -> None:
    live(server, "shop")
    assert which.site_name(None) == "shop"


def test_a_site_that_only_has_variables_counts(server: ServerPlaces) -> None:
    server.site("shop").store.parent.mkdir(parents=True)
    assert which.sites() == ("shop",)
    assert which.site_name(None) == "shop"
    live(server, "blog")
    assert which.sites() == ("blog", "shop")


def test_of_several_one_has_to_be_named(server: ServerPlaces) -> None:
    live(server, "shop", "blog")
    error = refusal(None)
    assert "several" in error.happened
    assert "--site blog, --site shop" in error.remedy


def test_where_there_is_none_the_way_to_say_it_is_shown() -> None:
    assert "--site NAME" in refusal(None).remedy


@pytest.mark.parametrize("given", ["", "Shop", "no/such", "../..", "/", "a\0b", "-x", "none"])
def test_what_is_neither_a_name_nor_a_folder_of_a_site_is_refused(given: str) -> None:
    refusal(given)


def test_a_folder_without_a_site_file_stands_for_the_site_it_was(server: ServerPlaces) -> None:
    Path("shop").mkdir()
    refusal("./shop")
    live(server, "shop")
    assert which.site_name("./shop") == "shop"


def test_other_things_beside_the_sites_are_no_sites(server: ServerPlaces) -> None:
    live(server, "shop", "lost+found")
    (server.sites / "file").write_text("")
    assert which.sites() == ("shop",)


def test_the_project_is_the_folder_whose_site_file_gives_that_name() -> None:
    write("hostel.toml", 'name = "shop"')
    write("blog/hostel.toml", 'name = "blog"')
    assert which.project_here("shop") == Path.cwd()
    assert which.project_here("blog") is None
    assert which.project_here("blog", "blog") == Path.cwd() / "blog"
    assert which.project_here("blog", "nowhere") is None


def test_a_site_is_live_once_it_is_remembered(server: ServerPlaces) -> None:
    assert not which.is_live("shop")
    live(server, "shop")
    assert which.is_live("shop")
