"""The example `inspect`: plain WSGI that shows what an app sees, and nothing secret."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def inspect(examples: Path, load: Callable[[Path, str], ModuleType]) -> ModuleType:
    return load(examples / "inspect", "application")


@pytest.fixture
def ask(inspect: ModuleType, ask: Any) -> Any:
    def ask_inspect(path: str = "/", address: str = "127.0.0.1", **environ: str) -> Any:
        return ask(inspect.application, path, REMOTE_ADDR=address, **environ)

    return ask_inspect


def test_says_in_text_what_the_app_sees(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYTEST", "abc")
    answer = ask(QUERY_STRING="a=1")
    assert answer.status == "200 OK"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    for line in (
        "MYTEST\tabc",
        "QUERY_STRING\ta=1",
        "multiprocess\tFalse",
        f"os.__file__\t{os.__file__}",
        f"sys.argv[0]\t{sys.argv[0]}",
        f"pid\t{os.getpid()}",
        "file names\tutf-8, surrogateescape",
    ):
        assert line in answer.text.splitlines()


def test_counts_its_length_in_bytes(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYTEST", "žluťoučký kůň 🐎")
    for answer in (ask(), ask(HTTP_ACCEPT="text/html"), ask("/json")):
        assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert "žluťoučký kůň 🐎" in ask().text


def test_answers_head_with_the_headers_alone(ask: Any) -> None:
    answer = ask(REQUEST_METHOD="HEAD")
    assert answer.body == b""
    assert int(answer.headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/*", "text/plain"),
        ("text/html", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html;q=0.5, text/plain", "text/plain"),
        ("text/html;q=0.5, */*;q=0.1", "text/html"),
        ("text/html;q=nonsense", "text/plain"),
        ("application/json", "text/plain"),
    ],
)
def test_is_a_page_for_those_who_prefer_html(ask: Any, accept: str, kind: str) -> None:
    answer = ask(HTTP_ACCEPT=accept)
    assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert answer.text.startswith("<!doctype html>") == (kind == "text/html")


def test_escapes_what_others_wrote(ask: Any) -> None:
    page = ask(HTTP_ACCEPT="text/html", HTTP_USER_AGENT='<script>"&', SCRIPT_NAME='/"><i>').text
    assert "<script>" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;&quot;&amp;" in page
    assert 'href="/&quot;&gt;&lt;i&gt;/json"' in page


def test_keeps_each_value_on_its_line(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYTEST", "one\ntwo\udcff")
    assert "MYTEST\tone\\ntwo\\udcff" in ask().text.splitlines()
    assert json.loads(ask("/json").text)["environment"]["MYTEST"] == "one\\ntwo\\udcff"


def test_gives_json_to_programs(ask: Any) -> None:
    answer = ask("/json")
    facts = json.loads(answer.text)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert list(facts) == ["request", "environment", "python", "process", "encoding"]
    assert facts["request"]["PATH_INFO"] == "/json"
    assert facts["process"]["pid"] == os.getpid()
    assert facts["process"]["multiprocess"] is False
    assert facts["python"]["sys.path"] == sys.path


def test_says_whether_flask_can_be_imported(examples: Path) -> None:
    code = "from application import where_is; print(where_is('flask'))"
    command = [sys.executable, "-S", "-c", code]
    run = subprocess.run(
        command, cwd=examples / "inspect", capture_output=True, text=True, check=True
    )
    assert "ModuleNotFoundError: No module named 'flask'" in run.stdout


def test_says_where_a_module_is(inspect: ModuleType) -> None:
    assert inspect.where_is("json") == {"json.__file__": json.__file__}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_answers_clients_on_the_same_machine(ask: Any, address: str) -> None:
    assert ask(address=address).status == "200 OK"


@pytest.mark.parametrize(
    "address",
    ["192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7", "128.0.0.1", "", "localhost"],
)
def test_tells_others_nothing(ask: Any, address: str) -> None:
    for path in ("/", "/json"):
        answer = ask(path, address, HTTP_ACCEPT="text/html", HTTP_X_FORWARDED_FOR="127.0.0.1")
        assert answer.status == "403 Forbidden"
        assert answer.text == "This page answers only to clients on the same machine.\n"


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY",
        "GITHUB_TOKEN",
        "PGPASSWORD",
        "DB_PASS",
        "MYSQL_PWD",
        "api_key",
        "AWS_CREDENTIALS",
        "SENTRY_DSN",
        "HTTP_COOKIE",
        "HTTP_AUTHORIZATION",
        "HTTP_PROXY_AUTHORIZATION",
        "HTTP_X_API_KEY",
        "HTTP_X_CSRF_TOKEN",
    ],
)
def test_hides_what_has_a_secret_name(ask: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hunter2")
    for answer in (
        ask(**{name: "hunter2"}),
        ask("/json", **{name: "hunter2"}),
        ask(HTTP_ACCEPT="text/html", **{name: "hunter2"}),
    ):
        assert name in answer.text
        assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            "postgresql://guestbook@/guestbook?host=/run/x",
            "postgresql://guestbook@/guestbook?host=/run/x",
        ),
        ("postgresql://ada:hunter2@db:5432/notes", "postgresql://ada:***@db:5432/notes"),
        ("postgresql://ada:hun/ter@2@db/notes", "postgresql://ada:***@db/notes"),
        ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
        (
            "postgresql:///notes?user=ada&password=hunter2",
            "postgresql:///notes?user=ada&password=***",
        ),
        ("host=db password='hunter 2' user=ada", "host=db password=*** user=ada"),
        ("https://hunter2@example.com/repository", "https://***@example.com/repository"),
        ("http://localhost:8080/a?b=c", "http://localhost:8080/a?b=c"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2", "***"),
        ("a=1&access_token=hunter2&b=2", "a=1&access_token=***&b=2"),
    ],
)
def test_hides_the_secret_parts_of_other_values(
    ask: Any, monkeypatch: pytest.MonkeyPatch, value: str, shown: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", value)
    facts = json.loads(ask("/json", QUERY_STRING=value).text)
    assert facts["environment"]["DATABASE_URL"] == facts["request"]["QUERY_STRING"] == shown


def test_shows_the_working_folder_and_empty_values(
    ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", "/srv/app")
    monkeypatch.setenv("API_KEY", "")
    environment = json.loads(ask("/json").text)["environment"]
    assert (environment["PWD"], environment["API_KEY"]) == ("/srv/app", "")
