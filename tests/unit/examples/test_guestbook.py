"""The example `guestbook`: Flask with a real PostgreSQL."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest


@pytest.fixture(scope="module")
def folder(examples: Path, needs: Callable[..., None]) -> Path:
    needs("flask", "psycopg_pool")
    return examples / "guestbook"


@pytest.fixture(scope="module")
def run(folder: Path, database_url: str) -> Callable[..., str]:
    """Runs Python in the example's folder, in the environment that the app has."""

    def run(*arguments: str, **environment: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "DATABASE_URL": database_url, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    return run


@pytest.fixture(scope="module")
def guestbook(
    folder: Path,
    database_url: str,
    run: Callable[..., str],
    load: Callable[[Path, str], ModuleType],
) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database_url)
        patch.delenv("SECRET_KEY", raising=False)
        patch.delenv("HOSTEL_URL", raising=False)
        release = tomllib.loads((folder / "hostel.toml").read_text())["hooks"]["release"]
        run(*release.split()[1:])
        guestbook = load(folder, "guestbook")
        yield guestbook
        guestbook.database.pool.close()


@pytest.fixture
def client(guestbook: ModuleType, database_url: str) -> Any:
    with psycopg.connect(database_url) as connection:
        connection.execute("truncate entry restart identity")
    return guestbook.app.test_client()


def sign(client: Any, name: str = "Ada", message: str = "Hello", **headers: str) -> Any:
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    return client.post("/", data={"name": name, "message": message}, headers=headers)


def test_says_so_when_nobody_has_signed_yet(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "The first page is yours" in page.text


def test_shows_what_was_signed_after_a_redirect(client: Any) -> None:
    answer = sign(client, " Ada \t Lovelace ", "One\r\ntwo")
    assert (answer.status_code, answer.location) == (303, "/#entry-1")
    page = client.get(answer.location).text
    assert "Thank you, Ada Lovelace!" in page
    assert 'id="entry-1"' in page
    assert "One\ntwo" in page
    assert "just now" in page
    assert "1 signature<" in page
    assert 'value="Ada Lovelace"' in page
    assert "Thank you" not in client.get("/").text


def test_lists_the_latest_first_in_pages(client: Any) -> None:
    for number in range(1, 24):
        sign(client, message=f"message {number}")
    seen, path, pages = [], "/", 0
    while path:
        page = client.get(path).text
        seen += re.findall(r"message (\d+)", page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        path, pages = following[1] if following else "", pages + 1
    assert seen == [str(number) for number in range(23, 0, -1)]
    assert pages == 3


@pytest.mark.parametrize("before", ["x", "-1", "0", "", "9" * 30, "9" * 5000])
def test_survives_a_page_that_does_not_exist(client: Any, before: str) -> None:
    assert client.get(f"/?before={before}").status_code == 200


def test_escapes_what_guests_write(client: Any) -> None:
    sign(client, "<b>Bobby</b>", "<script>alert(1)</script>'; drop table entry; --")
    page = client.get("/").text
    assert "<b>Bobby" not in page
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("name", "message", "complaint"),
    [
        ("", "Hello", "Please write your name."),
        ("  ", "Hello", "Please write your name."),
        ("\u200b", "Hello", "Please write your name."),
        ("Ada", "\r\n\x00", "Please write a message."),
        ("A" * 61, "Hello", "Please make it shorter by 1 character."),
        ("Ada", "é" * 1002, "Please make it shorter by 2 characters."),
    ],
)
def test_explains_what_is_wrong_and_keeps_what_was_written(
    client: Any, name: str, message: str, complaint: str
) -> None:
    answer = sign(client, name, message)
    assert answer.status_code == 422
    assert complaint in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    assert "Nobody has signed yet" in answer.text
    if message.startswith("é"):
        assert message in answer.text


def test_takes_as_much_as_it_allows(client: Any) -> None:
    assert sign(client, "🐎" * 60, "🐎\r\n" * 499 + "🐎").status_code == 303


def test_takes_odd_characters_for_what_they_are(client: Any) -> None:
    assert sign(client, "A\x00d\x1ba", "مرحبا\x00").status_code == 303
    page = client.get("/").text
    assert "<bdi>Ada</bdi>" in page
    assert "مرحبا" in page


def test_refuses_a_form_that_is_too_large(client: Any) -> None:
    assert sign(client, message="x" * 100_000).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost"},
        {"Origin": "http://localhost"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_takes_posts_from_its_own_pages(client: Any, headers: dict[str, str]) -> None:
    assert sign(client, **headers).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": "http://localhost"},
        {"Sec_Fetch_Site": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "null"},
    ],
)
def test_refuses_posts_from_other_sites(client: Any, headers: dict[str, str]) -> None:
    answer = sign(client, **headers)
    assert answer.status_code == 403
    assert "sent from another site" in answer.text
    assert "Nobody has signed yet" in client.get("/").text


def test_protects_its_pages_and_its_cookie(client: Any) -> None:
    answer = sign(client)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_needs_nothing_from_elsewhere(client: Any, folder: Path) -> None:
    """Neither pages nor styles name another server, and every file they link is there."""
    page = client.get("/").text
    assert "//" not in page.replace("http://www.w3.org/2000/svg", "")
    links = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(links) == 2
    static = tomllib.loads((folder / "hostel.toml").read_text())["static"]["/static"]
    for link in links:
        assert (folder / static / link.removeprefix("/static/")).is_file()
    assert "url(" not in (folder / static / "style.css").read_text()


def test_has_pages_for_errors(client: Any) -> None:
    for answer, code in ((client.get("/nowhere"), 404), (client.delete("/"), 405)):
        assert answer.status_code == code
        assert "To the guestbook" in answer.text


def test_is_healthy_when_its_database_answers(client: Any) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_a_restart_of_postgresql_goes_unnoticed(client: Any, disconnect: Callable[[], int]) -> None:
    sign(client)
    assert disconnect() > 0
    assert client.get("/").status_code == 200
    assert disconnect() > 0
    assert client.get("/healthz").status_code == 200


def test_says_so_when_the_database_is_away(run: Callable[..., str]) -> None:
    code = (
        "from guestbook import app, database; database.pool.timeout = 0.2;"
        "answers = [app.test_client().get(path) for path in ('/', '/healthz')];"
        "print([a.status_code for a in answers], 'looked after' in answers[0].text)"
    )
    gone = "postgresql://guestbook@/guestbook?host=/nonexistent"
    assert run("-c", code, DATABASE_URL=gone) == "[503, 503] True\n"


def test_opens_no_connection_and_no_thread_while_importing(run: Callable[..., str]) -> None:
    code = (
        "import guestbook, threading;"
        "print(threading.active_count(), guestbook.database.pool.closed)"
    )
    assert run("-c", code) == "1 True\n"


def test_serves_from_many_processes_with_many_threads(run: Callable[..., str]) -> None:
    """Imported once and forked, as a server might: each process opens a pool of its own."""
    code = """
import os
from concurrent.futures import ThreadPoolExecutor
from guestbook import app

def ask(_):
    return app.test_client().get("/").status_code

children = []
for _ in range(3):
    if not (pid := os.fork()):
        with ThreadPoolExecutor(8) as threads:
            os._exit(set(threads.map(ask, range(40))) != {200})
    children.append(pid)
print([os.waitpid(pid, 0)[1] for pid in children])
"""
    assert run("-c", code) == "[0, 0, 0]\n"


def test_processes_share_one_secret_key(
    guestbook: ModuleType, run: Callable[..., str], database_url: str
) -> None:
    code = "from guestbook import database; print(database.secret_key())"
    first = run("-c", code)
    run("-m", "guestbook.schema")
    assert run("-c", code) == first
    assert len(first) > 40
    assert run("-c", code, SECRET_KEY="of my own") == "of my own\n"


def test_cookies_go_over_https_alone_where_there_is_https(run: Callable[..., str]) -> None:
    code = "from guestbook import app; print(app.config['SESSION_COOKIE_SECURE'])"
    assert run("-c", code, HOSTEL_URL="https://localhost:8443") == "True\n"
    assert run("-c", code, HOSTEL_URL="http://localhost:8080") == "False\n"


def test_keeps_to_the_rules_of_wsgi(guestbook: ModuleType, ask: Any) -> None:
    assert ask(guestbook.app).status == "200 OK"
    assert ask(guestbook.app, "/nowhere").status == "404 NOT FOUND"
