"""`hostel logs` by a site's name, as on a server; with a folder, the system tests have it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hostel.cli import logs as verb
from hostel.errors import HostelError, UsageError
from hostel.log_files import LogPlaces


def stamp(ago: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S.000000 +0000", time.gmtime(time.time() - ago))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server's folder of logs, with those of one site: a request each day, the last one bad."""
    monkeypatch.setattr(verb, "SERVER_LOGS", tmp_path)
    folder = tmp_path / "shop"
    folder.mkdir()
    for ago, status in ((2 * 86400, 200), (86400, 200), (30, 500)):
        when = stamp(ago)
        line = f"{when}\t192.0.2.7\th\t{status}\t1\t9\tid{ago}\tGET /{ago} HTTP/1.1\n"
        (folder / f"access.{when[:10]}.log").write_text(line)
        line = f"{when}\twsgi\terror\t1\t1\t192.0.2.7:5\tid{ago}\tFile /srv/hostel/shop/releases/"
        (folder / f"error.{when[:10]}.log").write_text(f"{line}0a1b/code/app.py\n")
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(verb.logs, words, catch_exceptions=False)


def test_a_site_s_name_finds_its_logs_on_the_server(server: Path) -> None:
    assert verb.places("shop") == LogPlaces(server, True, Path("/srv/hostel/shop/releases"))
    text = run("shop").output
    assert text.count("GET /") == 3
    assert text.count("-- 20") >= 2
    assert "          File app.py" in text


@pytest.mark.parametrize("name", ["..", "../shop", "shop/", ".", "-shop", "sh op", "shop\n"])
def test_no_name_leads_out_of_the_folder(server: Path, name: str) -> None:
    try:
        assert not verb.places(name).dated
    except UsageError:
        return


def test_parts_can_be_picked_and_read_by_programs(server: Path) -> None:
    found = [json.loads(line) for line in run("shop", "--json", "--errors").output.splitlines()]
    assert [(one["kind"], one["status"]) for one in found] == [("request", 500), ("app", None)]
    assert found[1]["message"] == "File app.py"
    assert run("shop", "--since", "2h").output.count("GET") == 1
    assert run("shop", "--since", "3d", "-n", "2").output.count("GET") == 2
    assert "GET /86400" in run("shop", "--request", "id86400").output


def test_a_site_that_never_logged_says_so(server: Path) -> None:
    (server.parent / "new").mkdir()
    with pytest.raises(HostelError, match="there are none yet"):
        run("new")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_closed_logs_name_the_group_that_may_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        monkeypatch.setattr(verb, "SERVER_LOGS", Path(open_to_all))
        (Path(open_to_all) / "shop").mkdir(mode=0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(HostelError, match="closed to you") as error:
                run("shop")
        finally:
            os.seteuid(0)
    assert "adm" in error.value.remedy
