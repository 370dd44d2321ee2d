"""Each kind keeps its contract: what is enacted is observed, repeating is safe, undo is whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hostel.errors import HostelError
from hostel.journal import decode, encode
from hostel.machine import Machine
from hostel.plan import Change
from hostel.resources.cluster import ClusterState

pytestmark = pytest.mark.system


def test_every_kind_is_made_repeated_and_undone(any_site: Any) -> None:
    machine = any_site.machine
    any_site.extensions = ("citext",)
    for resource, which, wanted in any_site.kinds():
        assert resource.observe(which, machine) is None
        resource.enact(Change(which, None, wanted), machine)
        assert resource.observe(which, machine) == wanted
        resource.enact(Change(which, wanted, wanted), machine)
        resource.enact(Change(which, None, wanted), machine)
        assert resource.observe(which, machine) == wanted
    for resource, which, wanted in reversed(any_site.kinds()):
        for _ in range(2):
            resource.enact(Change(which, wanted, None), machine)
            assert resource.observe(which, machine) is None
    assert [path.name for path in any_site.data.parent.iterdir()] == []


def test_states_survive_the_journal(site: Any) -> None:
    for _, _, wanted in site.kinds():
        assert decode(type(wanted), encode(wanted)) == wanted


def test_data_survive_stop_and_start_and_nothing_is_to_be_changed(any_site: Any) -> None:
    any_site.settle()
    with any_site.app() as connection:
        connection.execute("CREATE TABLE entry (text text)")
        connection.execute("INSERT INTO entry VALUES ('kept: ü 🙂')")
    any_site.stop()
    for resource, which, wanted in any_site.kinds()[2:]:
        assert resource.observe(which, any_site.machine) == wanted, "asked while it is down"
    any_site.settle()
    with any_site.app() as connection:
        assert connection.execute("SELECT text FROM entry").fetchone() == ("kept: ü 🙂",)


def test_the_data_folder_is_the_runners_alone(site: Any) -> None:
    site.settle(last=1)
    for path in (site.data, site.data / "pg_hba.conf", site.data / "hostel.conf"):
        info = path.stat()
        assert info.st_uid == site.machine.runner.uid
        assert not stat.S_IMODE(info.st_mode) & 0o077


def test_there_is_no_tcp_and_the_socket_is_private(site: Any) -> None:
    import psutil

    site.settle(last=2)
    with site.admin.session(site.machine, "asking") as connection:
        shown = connection.execute("SHOW listen_addresses").fetchone()
    assert shown == ("",)
    assert not psutil.Process(site.pid()).net_connections("inet")
    assert stat.S_IMODE(site.run.stat().st_mode) == 0o700
    assert stat.S_IMODE((site.run / ".s.PGSQL.5432").stat().st_mode) == 0o700


def test_the_server_gets_nothing_of_the_callers_environment(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setenv("SECRET_OF_A_SHELL", "x")
    for name, value in {
        "PGHOSTADDR": "127.0.0.1", "PGSERVICE": "none", "PGOPTIONS": "--bad", "PGPORT": "1",
        "PGREQUIREAUTH": "scram-sha-256", "PGDATA": "/", "PGCHANNELBINDING": "require",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    site.settle()
    names = set(psutil.Process(site.pid()).environ())
    assert names <= {"PATH", "LANG", "LC_ALL", "PGSYSCONFDIR", "PGLOCALEDIR", "PG_GRANDPARENT_PID"}
    assert os.environ["PGHOSTADDR"] == "127.0.0.1"


def test_changed_settings_are_written_and_loaded_by_a_restart(site: Any) -> None:
    site.settle(last=2)
    before, old = site.kinds()[:2], site.pid()
    site.max_connections = 17
    site.settle(last=2)
    assert site.pid() != old
    with site.admin.session(site.machine, "asking") as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("17",)
    for (resource, which, wanted), (_, _, now) in zip(before, site.kinds(), strict=False):
        resource.enact(Change(which, now, wanted), site.machine)  # the undo
        assert resource.observe(which, site.machine) == wanted


def test_an_edited_pg_hba_is_seen_and_put_right(site: Any) -> None:
    site.settle(last=1)
    resource, which, wanted = site.kinds()[0]
    (site.data / "pg_hba.conf").write_text("local all all trust\n")
    main = (site.data / "postgresql.conf").read_text()
    (site.data / "postgresql.conf").write_text(main.replace("include 'hostel.conf'", ""))
    assert resource.observe(which, site.machine) != wanted
    resource.enact(Change(which, None, wanted), site.machine)
    assert resource.observe(which, site.machine) == wanted


def test_the_app_is_its_role_and_nobody_else(site: Any) -> None:
    site.settle()
    psql = ["psql", "-X", "-h", str(site.run), "-Atc", "SELECT current_user"]
    own = site.machine.run([*psql, "-U", site.role, site.role], as_runner=True, cwd=Path("/"))
    assert own.out.strip() == site.role
    if not site.machine.is_root:
        return
    other = site.machine.run([*psql, "-U", "postgres", "postgres"], as_runner=True, cwd=Path("/"))
    assert "Peer authentication failed" in other.err


def test_the_role_may_create_in_its_database_and_do_nothing_beyond(site: Any) -> None:
    site.settle()
    with site.app() as connection:
        connection.execute("CREATE TABLE public.made (i int)")
        for forbidden in (
            "CREATE DATABASE x", "CREATE ROLE x", "COPY (SELECT 1) TO PROGRAM 'true'",
            "ALTER SYSTEM SET work_mem = '1MB'",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


def test_a_folder_that_is_no_cluster_is_named_and_left_alone(site: Any) -> None:
    site.data.mkdir(parents=True)
    (site.data / "precious").write_text("x")
    resource, which, wanted = site.kinds()[0]
    with pytest.raises(HostelError, match="is there already"):
        resource.enact(Change(which, None, wanted), site.machine)
    resource.enact(Change(which, wanted, None), site.machine)  # as the undo does
    assert [path.name for path in site.data.parent.iterdir()] == ["data"]
    assert (site.data / "precious").exists()


def test_a_cluster_of_another_version_is_refused(site: Any) -> None:
    site.settle(last=1)
    resource, which, wanted = site.kinds()[0]
    other = ClusterState(major=11, hba=wanted.hba, ident=wanted.ident, conf=wanted.conf)
    with pytest.raises(HostelError, match="no version reads another's data"):
        resource.enact(Change(which, wanted, other), site.machine)
    assert resource.observe(which, site.machine) == wanted


def test_a_folder_closed_to_the_runner_is_named(site: Any) -> None:
    if not site.machine.is_root:
        pytest.skip("needs root")
    site.state.chmod(0o700)
    with pytest.raises(HostelError, match=f"cannot enter {site.state}"):
        site.settle(last=1)
    assert not list(site.data.parent.iterdir())


@pytest.mark.parametrize(
    "name", ["with space", "q'uo\"te", "dollar $HOME `id`", "ünï🙂", "a,b", "x" * 200]
)
def test_odd_and_long_paths_work(place: Path, machine: Machine, site: Any, name: str) -> None:
    state = place / name
    state.mkdir()
    made = type(site)(state, machine, site.installation)
    try:
        made.settle()
        made.stop()
        made.settle()
        with made.app() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        made.clean()
