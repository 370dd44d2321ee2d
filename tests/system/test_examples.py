"""The three examples, hosted for real: by root and by an ordinary user."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import Hosted

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def entries(site: Hosted) -> str:
    return site.get("/").text


def sign(site: Hosted, name: str, message: str) -> int:
    body = f"name={name}&message={message}".encode()
    return site.get(
        "/",
        "POST",
        body,
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"https://localhost:{site.https}",
        },
    ).status


def test_the_guestbook_is_hosted_with_its_database_and_keeps_its_entries(project: Any) -> None:
    site: Hosted = project("guestbook", "guestbook")
    done = site.up()
    assert done.returncode == 0, done.stderr
    assert f"https://localhost:{site.https}" in done.stdout
    assert sign(site, "Ada", "Hello+there") in (302, 303)
    assert "Hello there" in entries(site)

    status = site.status()
    assert status["state"] == "up"
    assert status["database"].startswith("guestbook on PostgreSQL")
    first_release = status["release"]

    assert site.down().returncode == 0
    assert not site.strays()
    again = site.up()
    assert again.returncode == 0, again.stderr
    assert "Hello there" in entries(site)
    assert site.status()["release"] == first_release
    assert "building" not in again.stderr.lower()


def test_httpd_serves_the_static_files_as_a_web_server_should(project: Any) -> None:
    site: Hosted = project("guestbook", "guestbook")
    assert site.up().returncode == 0
    css = site.get("/static/style.css")
    assert css.status == 200
    assert css.headers["content-type"] == "text/css"
    assert "etag" in css.headers
    assert (
        site.get("/static/style.css", headers={"If-None-Match": css.headers["etag"]}).status == 304
    )
    part = site.get("/static/style.css", headers={"Range": "bytes=0-9"})
    assert (part.status, len(part.body)) == (206, 10)
    small = site.get("/static/style.css", headers={"Accept-Encoding": "gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert len(small.body) < len(css.body)
    tagged = {"Accept-Encoding": "gzip", "If-None-Match": small.headers["etag"]}
    assert site.get("/static/style.css", headers=tagged).status == 304
    for path in (
        "/static/",
        "/static/.hidden",
        "/static/../guestbook/__init__.py",
        "/.env",
        "/static/%2e%2e/guestbook/__init__.py",
        "/.git/config",
        "/hostel.toml",
    ):
        assert site.get(path).status in (400, 403, 404), path


def test_plain_http_leads_to_the_declared_name_and_never_to_a_strangers(project: Any) -> None:
    site: Hosted = project("inspect", "inspect")
    assert site.up().returncode == 0
    sent = site.get_plain("/a%2Fb//c%3Fd?e=f%20g", {"Host": "localhost"})
    assert sent.status == 308
    assert sent.headers["location"] == f"https://localhost:{site.https}/a%2Fb//c%3Fd?e=f%20g"
    foreign = site.get_plain("/x", {"Host": "evil.example"})
    assert "evil" not in foreign.headers["location"] + foreign.text
    refused = site.get("/", headers={"Host": "evil.example"})
    assert refused.status == 421
    assert "evil" not in refused.text


def test_the_app_has_its_environment_and_nothing_of_the_callers_shell(project: Any) -> None:
    site: Hosted = project("inspect", "inspect")
    site.write(".env", 'FROM_DOTENV="two\nlines"\n')
    done = site.up(CALLERS_OWN="leaks")
    assert done.returncode == 0, done.stderr
    import json

    facts = json.loads(site.get("/json").text)
    env = facts["environment"]
    assert env["MYTEST"] == "abc"
    assert "CALLERS_OWN" not in env
    assert "SECRET_OF_CALLER" not in env
    assert env["LANG"] == "C.UTF-8"
    allowed = {
        "HOME",
        "USER",
        "LOGNAME",
        "PATH",
        "LANG",
        "VIRTUAL_ENV",
        "HOSTEL_SITE",
        "TZ",
        "HOSTEL_URL",
        "HOSTEL_DOMAINS",
        "DATA_DIR",
        "MYTEST",
        "FROM_DOTENV",
        "TMPDIR",
    }
    assert set(env) <= allowed
    text = str(facts).lower()
    assert "utf-8" in text


def test_the_app_runs_as_an_unprivileged_user_even_for_root(project: Any) -> None:
    site: Hosted = project(None, "who", **{"app.py": WHO})
    done = site.up()
    assert done.returncode == 0, done.stderr
    uid = int(site.get("/").text)
    assert uid != 0
    if site.person.uid:
        assert uid == site.person.uid


WHO = """
import os
def application(environ, start_response):
    body = str(os.geteuid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_the_django_site_has_its_tables_its_admin_and_its_collected_files(project: Any) -> None:
    site: Hosted = project("djangosite", "djangosite")
    done = site.up()
    assert done.returncode == 0, done.stderr
    assert site.get("/").status == 200
    login = site.get("/admin/login/")
    assert login.status == 200
    css = re.search(r'href="(/static/[^"]+\.css)"', login.text)
    assert css
    assert site.get(css[1]).status == 200


def test_secrets_stand_in_no_command_line_and_in_no_file_others_can_read(project: Any) -> None:
    secret = "s3cr3t-" + os.urandom(8).hex()
    site: Hosted = project("inspect", "inspect")
    site.write(".env", f"API_TOKEN={secret}\n")
    assert site.up().returncode == 0
    site.get("/json")
    for process in site.strays():
        assert secret not in " ".join(process.cmdline())
    for path in site.state.rglob("*"):
        if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path
            assert path.name == "boot.json"


@pytest.mark.parametrize("person", ["root"], indirect=True)
def test_a_project_that_only_root_may_enter_keeps_its_state_elsewhere(project: Any) -> None:
    site: Hosted = project("guestbook", "closed")
    ports = ("--http", site.http, "--https", site.https, "--detach")
    done = site.hostel("up", site.root, *ports)
    link = site.root / ".hostel"
    site.state = link.resolve()
    try:
        assert done.returncode == 0, done.stderr
        assert link.is_symlink()
        assert site.state.parent == Path("/var/lib/hostel/up")
        assert site.get("/").status == 200
        assert site.hostel("status", site.root, "--json").returncode == 0
        refused = site.hostel("up", site.root, *ports, "--dir", site.root / "state")
        assert refused.returncode == 2
        assert str(site.person.home) in refused.stderr
    finally:
        site.hostel("down", site.root)
        shutil.rmtree(site.state)
