"""What a first site file says is what Hostel would work out itself, and a little more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hostel.errors import UsageError
from hostel.proposal import Proposal, propose, wants_postgres
from hostel.sitefile import load_site
from hostel.target import resolve

EXAMPLES = Path(__file__).parents[2] / "examples"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")\n'
SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
INSTALLED_APPS = ["django.contrib.staticfiles"]
WSGI_APPLICATION = "mysite.wsgi.application"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
"""
SQLITE = 'DATABASES = {"default": {"NAME": BASE_DIR / "db.sqlite3"}}\n'
POSTGRES = 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}\n'
DJANGO = {"manage.py": MANAGE, "mysite/__init__.py": "", "mysite/wsgi.py": "application = x()"}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def proposed(
    root: Path, app: str = "", domains: tuple[str, ...] = (), database: bool | None = None
) -> Proposal:
    """What is proposed; and that the file, once it is there, is read as just that."""
    target = resolve(app or ".", root)
    found = propose(target, domains, database)
    (root / "hostel.toml").write_text(found.text)
    again, notes = load_site(resolve(".", root))
    assert again.model_dump() == found.site.model_dump()
    assert not [note for note in notes if not note.startswith("Procfile")]
    (root / "hostel.toml").unlink()
    return found


SHAPES = {
    "flask": {"app.py": FLASK},
    "flask in a package": {"shop/__init__.py": FLASK},
    "flask in src": {"src/shop/__init__.py": FLASK, "pyproject.toml": "[project]\nname='shop'\n"},
    "a factory": {"shop/__init__.py": "def create_app(): ...\n"},
    "plain": {"application.py": "def application(environ, start_response): ...\n"},
    "a file that is no module": {"hello-world.py": FLASK},
    "a .wsgi file": {"site.wsgi": "application = x()\n"},
    "a name to be escaped": {"it's \"so\" ünlike.py": FLASK},
    "dash": {"app.py": "import dash\napp = dash.Dash()\n"},
    "django": {**DJANGO, "mysite/settings.py": SETTINGS},
    "django in src": {f"src/{name}": text for name, text in DJANGO.items()}
    | {"src/mysite/settings.py": SETTINGS},
    "django on sqlite": {**DJANGO, "mysite/settings.py": SETTINGS + SQLITE},
    "django on postgresql": {**DJANGO, "mysite/settings.py": SETTINGS + POSTGRES},
    "procfile": {"Procfile": "web: gunicorn --chdir code shop:create_app()\n", "code/shop.py": ""},
    "procfile with more": {
        "Procfile": "web: uwsgi --module shop:app\nrelease: python migrate.py 'a b'\n"
        'worker: sh -c "echo $HOME"\nclock_1: python -m clock\n',
        "shop.py": FLASK,
    },
}  # fmt: skip


@pytest.mark.parametrize("files", SHAPES.values(), ids=SHAPES)
def test_the_file_says_what_would_be_worked_out_without_it(
    tmp_path: Path, files: dict[str, str]
) -> None:
    root = write(tmp_path / "shop", files)
    without, _notes = load_site(resolve(".", root))
    found = proposed(root, database=False)
    assert found.site.model_dump() == without.model_dump()


@pytest.mark.parametrize("name", ["djangosite", "guestbook", "inspect"])
def test_the_examples_would_be_hosted_as_their_own_site_files_say(
    tmp_path: Path, name: str
) -> None:
    root = Path(shutil.copytree(EXAMPLES / name, tmp_path / name))
    own, _notes = load_site(resolve(".", root))
    (root / "hostel.toml").unlink()
    found = proposed(root).site
    assert (found.name, found.database) == (own.name, own.database)
    assert found.app in (own.app, "guestbook:app")
    if name == "djangosite":
        assert found.model_dump() == own.model_dump()


def test_what_a_procfile_names_is_the_app(tmp_path: Path) -> None:
    files = {"Procfile": "web: gunicorn -w 3 -b 0.0.0.0:$PORT shop.web:make()\n", "app.py": FLASK}
    found = proposed(write(tmp_path, files))
    assert found.site.app == "shop.web:make()"
    assert any("Procfile" in note for note in found.notes)


def test_an_app_that_was_named_is_the_one(tmp_path: Path) -> None:
    root = write(tmp_path, {"app.py": FLASK, "other.py": FLASK})
    assert proposed(root, "other:app").site.app == "other:app"
    assert proposed(root, "other.py").site.app == "other.py:app"


def test_domains_are_in_it(tmp_path: Path) -> None:
    root = write(tmp_path, {"app.py": FLASK})
    site = proposed(root, domains=("shop.example", "www.shop.example")).site
    assert site.domains == ("shop.example", "www.shop.example")


def test_a_django_project_with_a_database_migrates_before_each_switch(tmp_path: Path) -> None:
    files = {f"src/{name}": text for name, text in DJANGO.items()}
    root = write(tmp_path, {**files, "src/mysite/settings.py": SETTINGS + POSTGRES})
    found = proposed(root)
    assert found.site.hooks.release == ("python", "src/manage.py", "migrate", "--noinput")
    assert any("migrate" in note for note in found.notes)
    assert proposed(root, database=False).site.hooks.release is None


def test_a_release_line_of_a_procfile_wins_over_the_guess(tmp_path: Path) -> None:
    files = {**DJANGO, "mysite/settings.py": POSTGRES, "Procfile": "release: python up.py\n"}
    assert proposed(write(tmp_path, files)).site.hooks.release == ("python", "up.py")


# -- a database -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "flask\npsycopg[binary]>=3.2  # for the guestbook\n"},
        {"requirements.txt": "Psycopg2_Binary==2.9\n"},
        {"requirements.txt": "-r base.txt\n", "base.txt": "asyncpg\n"},
        {"requirements.txt": "sqlalchemy[asyncio,postgresql]\n"},
        {"pyproject.toml": '[project]\nname="x"\ndependencies=["psycopg2 ; python_version>\'3\'"]'},
        {"pyproject.toml": '[tool.poetry]\nname="x"\n[tool.poetry.dependencies]\npsycopg = "^3"'},
        {"pyproject.toml": '[project]\nname="x"\ndependencies=["psycopg"]', "uv.lock": ""},
        {"pyproject.toml": '[project]\nname="x"\ndependencies=["asyncpg"]',
         "requirements.txt": "-e .\n"},
        {**DJANGO, "mysite/settings.py": POSTGRES},
        {**DJANGO, "mysite/settings/__init__.py": "", "mysite/settings/base.py": POSTGRES},
    ],
)  # fmt: skip
def test_a_driver_or_a_backend_for_postgresql_suggests_a_database(
    tmp_path: Path, files: dict[str, str]
) -> None:
    root = write(tmp_path, {"app.py": FLASK, **files})
    assert wants_postgres(root)
    found = proposed(root)
    assert found.site.database is not None
    assert any("--no-database" in note for note in found.notes)
    assert proposed(root, database=False).site.database is None


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"requirements.txt": "flask  # without psycopg\n# psycopg\n"},
        {"requirements.txt": "psycopg-like\nmypsycopg\n"},
        {"requirements.txt": "-r missing.txt\npsycopg\n"},
        {"pyproject.toml": '[project]\nname="x"\noptional-dependencies={pg=["psycopg"]}'},
        {**DJANGO, "mysite/settings.py": SETTINGS + SQLITE},
        {"notes.py": POSTGRES},
    ],
)
def test_nothing_else_does(tmp_path: Path, files: dict[str, str]) -> None:
    root = write(tmp_path, {"app.py": FLASK, **files})
    assert wants_postgres(root) == ""
    assert proposed(root).site.database is None
    assert proposed(root, database=True).site.database is not None


# -- where there can be none ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "files", [{"hostel.toml": ""}, {"pyproject.toml": "[tool.hostel]\nname = 'shop'\n"}]
)
def test_a_site_file_that_is_there_is_left_alone(tmp_path: Path, files: dict[str, str]) -> None:
    root = write(tmp_path, {"app.py": FLASK, **files})
    with pytest.raises(UsageError, match="one already"):
        propose(resolve(".", root), (), None)


def test_without_an_app_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found no WSGI app"):
        propose(resolve(".", tmp_path), (), None)
