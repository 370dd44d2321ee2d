"""A site's database in the server's own PostgreSQL: made, owned, closed to others, kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..machines import ROOT, DebianMachine
from .conftest import Layers
from .sites import ask, plan_is_empty, put_site

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

HOST = "guestbook.localhost"
FOLDER = "/root/guestbook"


@pytest.fixture(scope="module")
def server(layers: Layers) -> Iterator[DebianMachine]:
    """One machine on which the guestbook is live; the tests follow on each other."""
    with DebianMachine.boot(layers("applied")) as machine:
        machine.put(ROOT / "examples" / "guestbook", FOLDER)
        machine.run(["hostel", "apply", FOLDER], check=True, timeout=900)
        yield machine


def sql(server: DebianMachine, text: str, database: str = "postgres") -> str:
    argv = ["runuser", "-u", "postgres", "--", "psql", "-Atc", text, database]
    return server.run(argv, check=True).stdout.strip()


def test_the_guestbook_is_live_on_a_database_of_its_own(server: DebianMachine) -> None:
    assert "Guestbook" in ask(server, HOST).text
    assert sql(
        server, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname='guestbook'"
    ) == ("hostel-guestbook")
    assert (
        "entry"
        in server.run(
            ["hostel", "run", "--site", "guestbook", "--", "psql", "-Atc", "\\dt"], check=True
        ).stdout
    )
    assert plan_is_empty(server, FOLDER)


def test_no_other_site_gets_into_it(server: DebianMachine) -> None:
    other = ["hostel", "run", "--site", "hello", "--"]
    asked = server.run(
        [*other, "psql", "-h", "/var/run/postgresql", "-d", "guestbook", "-c", "SELECT 1"]
    )
    assert asked.returncode != 0
    posing = [*other, "psql", "-h", "/var/run/postgresql", "-U", "hostel-guestbook", "guestbook"]
    assert "Peer authentication failed" in server.run(posing).stderr


def test_a_postgresql_that_was_restarted_is_found_again(server: DebianMachine) -> None:
    server.run(["systemctl", "restart", "postgresql@15-main.service"], check=True)
    assert "Guestbook" in ask(server, HOST).text
    server.reboot()
    assert "Guestbook" in ask(server, HOST).text
    assert plan_is_empty(server, FOLDER)


def test_what_was_changed_by_hand_is_seen_and_put_back(server: DebianMachine) -> None:
    sql(server, 'ALTER ROLE "hostel-guestbook" CREATEDB')
    said = server.run(["hostel", "plan", FOLDER], check=True).stdout
    assert "createdb" in said
    assert "by hand" in said
    server.run(["hostel", "apply", FOLDER], check=True, timeout=600)
    assert sql(server, "SELECT rolcreatedb FROM pg_roles WHERE rolname='hostel-guestbook'") == "f"
    assert plan_is_empty(server, FOLDER)


def test_data_outlive_a_removal_unless_it_is_said(server: DebianMachine) -> None:
    sql(server, 'CREATE TABLE mark (); ALTER TABLE mark OWNER TO "hostel-guestbook"', "guestbook")
    removed = server.run(["hostel", "remove", "guestbook", "--yes"], check=True, timeout=600)
    assert "database" in removed.stderr
    server.run(["hostel", "apply", FOLDER], check=True, timeout=600)
    assert "mark" in sql(
        server, "SELECT tablename FROM pg_tables WHERE tablename='mark'", "guestbook"
    )
    server.run(["hostel", "remove", "guestbook", "--yes", "--data"], check=True, timeout=600)
    assert sql(server, "SELECT count(*) FROM pg_database WHERE datname='guestbook'") == "0"
    assert sql(server, "SELECT count(*) FROM pg_roles WHERE rolname='hostel-guestbook'") == "0"


def test_a_database_that_is_somebody_elses_is_left_alone(server: DebianMachine) -> None:
    sql(server, "CREATE DATABASE mine")
    folder = put_site(server, "mine", more="[database]\n")
    refused = server.run(["hostel", "apply", folder], timeout=600)
    assert refused.returncode == 1
    assert "Hostel did not make it" in refused.stderr
    assert sql(server, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname='mine'") == (
        "postgres"
    )
    assert server.run(["id", "hostel-mine"]).returncode != 0
