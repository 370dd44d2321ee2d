"""The example `djangosite`: Django with a real PostgreSQL, its hooks run as Hostel runs them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

ADDRESS = "https://localhost:8443"
HOSTEL = ("DATABASE_URL", "DATA_DIR", "HOSTEL_DOMAINS", "HOSTEL_URL", "SECRET_KEY")


@pytest.fixture(scope="module")
def folder(
    examples: Path, needs: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A copy of the example, since its build hook writes into it."""
    needs("django", "dj_database_url", "psycopg_pool")
    copy = tmp_path_factory.mktemp("release") / "djangosite"
    return shutil.copytree(
        examples / "djangosite",
        copy,
        ignore=shutil.ignore_patterns("staticfiles", "__pycache__", ".hostel"),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def run(folder: Path) -> Callable[..., str]:
    """Runs Python in the example's folder, with these of Hostel's variables and no others."""

    def run(*arguments: str, **environment: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if name not in HOSTEL}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def environment(database_url: str, data: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(data),
        "HOSTEL_DOMAINS": "notes.example.com,www.notes.example.com",
        "HOSTEL_URL": ADDRESS,
    }


@pytest.fixture(scope="module")
def released(folder: Path, run: Callable[..., str], environment: dict[str, str]) -> dict[str, str]:
    """What the hooks printed."""
    hooks = tomllib.loads((folder / "hostel.toml").read_text())["hooks"]
    return {
        "build": run(*shlex.split(hooks["build"])[1:]),
        "release": run(*shlex.split(hooks["release"])[1:], **environment),
    }


@pytest.fixture(scope="module")
def site(
    folder: Path,
    released: dict[str, str],
    environment: dict[str, str],
    load: Callable[[Path, str], ModuleType],
) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.delenv("SECRET_KEY", raising=False)
        yield load(folder, "mysite.wsgi")
        connection = import_module("django.db").connection
        connection.close()
        connection.close_pool()


@pytest.fixture
def notes(site: ModuleType) -> Any:
    """All notes; none as yet."""
    notes = import_module("notes.models").Note.objects
    notes.all().delete()
    import_module("django.db").connection.close()
    return notes


@pytest.fixture
def client(notes: Any) -> Any:
    return import_module("django.test").Client(
        enforce_csrf_checks=True, raise_request_exception=False, HTTP_HOST="localhost:8443"
    )


def get(client: Any, path: str, **headers: str) -> Any:
    return client.get(path, secure=True, **headers)


def test_builds_without_a_database_or_a_key(released: dict[str, str], folder: Path) -> None:
    assert "static files copied" in released["build"]
    assert "WARNING" not in released["build"]
    assert (folder / "staticfiles" / "staticfiles.json").is_file()


def test_migrates_when_released(released: dict[str, str]) -> None:
    assert "Applying notes.0001_initial... OK" in released["release"]


def test_its_migrations_are_complete(
    released: dict[str, str], run: Callable[..., str], environment: dict[str, str]
) -> None:
    assert "No changes detected" in run("manage.py", "makemigrations", "--check", **environment)


def test_connects_through_the_folder_of_a_socket(site: ModuleType, database_url: str) -> None:
    connection = import_module("django.db").connection
    with psycopg.connect(database_url) as expected, connection.cursor() as cursor:
        cursor.execute("select current_database()")
        assert cursor.fetchone() == (expected.info.dbname,)
        assert cursor.connection.info.host == expected.info.host
    connection.close()


def test_says_so_when_nothing_is_written_yet(client: Any) -> None:
    answer = get(client, "/")
    assert answer.status_code == 200
    assert "Nothing is written yet." in answer.text


def test_lists_what_is_published_and_nothing_else(client: Any, notes: Any) -> None:
    notes.create(title="Today's <i>note</i>", text="Some text.")
    notes.create(title="Tomorrow's note", published=datetime.now(UTC) + timedelta(days=1))
    page = get(client, "/").text
    assert "Today&#x27;s &lt;i&gt;note&lt;/i&gt;" in page
    assert "Tomorrow" not in page


def test_lists_notes_in_pages(client: Any, notes: Any) -> None:
    for number in range(12):
        notes.create(title=f"Note {number}")
    first, second = get(client, "/").text, get(client, "/?page=2").text
    assert (first.count("<article>"), second.count("<article>")) == (10, 2)
    assert 'href="?page=2" rel="next"' in first
    assert 'href="?page=1" rel="prev"' in second
    assert get(client, "/?page=3").status_code == 404


def test_links_static_files_that_were_collected(client: Any, folder: Path) -> None:
    static = tomllib.loads((folder / "hostel.toml").read_text())["static"]["/static"]
    for path in ("/", "/admin/login/"):
        links = re.findall(r'(?:href|src)="/static/([^"]+)"', get(client, path).text)
        assert len(links) > 1
        for link in links:
            assert re.search(r"\.[0-9a-f]{12}\.", link)
            assert (folder / static / link).is_file()


def test_answers_to_its_own_names_alone(client: Any) -> None:
    for host in ("notes.example.com", "www.notes.example.com", "localhost:8443", "127.0.0.1"):
        assert get(client, "/", HTTP_HOST=host).status_code == 200
    assert get(client, "/", HTTP_HOST="evil.example").status_code == 400


def log_in(client: Any, origin: str, host: str = "localhost:8443") -> Any:
    page = get(client, "/admin/login/", HTTP_HOST=host)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token
    form = {"username": "ada", "password": "hunter2 hunter2", "csrfmiddlewaretoken": token[1]}
    headers = {"HTTP_HOST": host, "HTTP_ORIGIN": origin}
    return client.post("/admin/login/?next=/admin/", form, secure=True, **headers)


def test_admits_an_administrator_over_https_on_any_port(
    client: Any, run: Callable[..., str], environment: dict[str, str]
) -> None:
    create = ("manage.py", "createsuperuser", "--noinput", "--username=ada", "--email=")
    run(*create, **environment, DJANGO_SUPERUSER_PASSWORD="hunter2 hunter2")
    answer = log_in(client, ADDRESS)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    assert answer.cookies["sessionid"]["secure"]
    assert "Write one" in get(client, "/").text
    assert get(client, "/admin/notes/note/").status_code == 200


def test_trusts_its_own_address_where_the_host_comes_without_a_port(client: Any) -> None:
    assert log_in(client, "https://localhost:9443", host="localhost").status_code == 403
    assert log_in(client, ADDRESS, host="localhost").status_code != 403


def test_refuses_a_form_from_another_site(client: Any) -> None:
    assert log_in(client, "https://evil.example").status_code == 403


def test_makes_itself_a_key_once(
    released: dict[str, str], run: Callable[..., str], environment: dict[str, str], data: Path
) -> None:
    code = "from mysite.settings import SECRET_KEY; print(SECRET_KEY)"
    key = run("-c", code, **environment)
    assert len(key) > 60
    assert run("-c", code, **environment) == key
    assert [path.name for path in data.iterdir()] == ["secret_key"]
    assert (data / "secret_key").stat().st_mode & 0o777 == 0o600
    assert run("-c", code, **environment, SECRET_KEY="of my own") == "of my own\n"


def test_processes_that_start_at_once_share_one_key(
    run: Callable[..., str], tmp_path: Path
) -> None:
    code = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from mysite.secret import key_in

with ProcessPoolExecutor(8) as processes:
    print(len(set(processes.map(key_in, [Path(sys.argv[1])] * 64))))
"""
    assert run("-c", code, str(tmp_path)) == "1\n"


def test_signs_nothing_without_a_key(run: Callable[..., str]) -> None:
    code = """
import django
from django.core.exceptions import ImproperlyConfigured
from django.core.signing import dumps
django.setup()
try:
    dumps("anything")
except ImproperlyConfigured as error:
    print(error)
"""
    printed = run("-c", code, DJANGO_SETTINGS_MODULE="mysite.settings")
    assert printed == "The SECRET_KEY setting must not be empty.\n"


def test_a_restart_of_postgresql_goes_unnoticed(
    site: ModuleType, ask: Any, disconnect: Callable[[], int]
) -> None:
    assert ask(site.application, HTTP_HOST="localhost").status == "200 OK"
    assert disconnect() > 0
    assert ask(site.application, HTTP_HOST="localhost").status == "200 OK"


def test_errors_go_to_stderr_with_a_traceback(
    released: dict[str, str], run: Callable[..., str], environment: dict[str, str]
) -> None:
    code = """
from mysite.wsgi import application
from django.test import Client
from notes.views import NoteList
NoteList.get_queryset = lambda self: 1 / 0
print(Client(raise_request_exception=False).get("/", HTTP_HOST="localhost").status_code)
"""
    printed = run("-c", code, **environment)
    assert printed.startswith("500\nERROR django.request: Internal Server Error: /\nTraceback")
    assert "ZeroDivisionError" in printed


def test_passes_the_checks_for_deployment(
    released: dict[str, str], run: Callable[..., str], environment: dict[str, str]
) -> None:
    """All but two: redirects to HTTPS and HSTS are up to the server."""
    printed = run("manage.py", "check", "--deploy", **environment)
    assert set(re.findall(r"security\.\w+", printed)) <= {"security.W004", "security.W008"}
