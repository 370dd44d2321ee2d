"""Which app a project holds is worked out from its files, without running any of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.detect import Guess, detect, import_path, settle
from hostel.errors import UsageError
from hostel.pysource import asgi, bindings, choose

FLASK = "from flask import Flask\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def found(root: Path, files: dict[str, str]) -> Guess:
    return detect(write(root, files))


def refused(root: Path, files: dict[str, str]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        found(root, files)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("files", "app"),
    [
        ({"application.py": "def application(e, s): ..."}, "application:application"),
        ({"wsgi.py": "from app import app as application"}, "wsgi:application"),
        ({"app.py": FLASK + "app = Flask(__name__)"}, "app:app"),
        ({"app.py": FLASK + "web: Flask = Flask(__name__)"}, "app:web"),
        ({"app.py": "import flask as f\nsite = f.Flask(__name__)"}, "app:site"),
        ({"main.py": "class app:\n  def __init__(self, e, s): ..."}, "main:app"),
        ({"main.py": "def create_app(config=None): ..."}, "main:create_app()"),
        ({"app.py": "def make_app(): ...\napp = make_app()"}, "app:app"),
        ({"app.py": "try:\n  import x\nexcept E:\n  x = 1\nelse:\n  app = x.y"}, "app:app"),
        ({"app.py": "import dash\napp = dash.Dash()"}, "app:app.server"),
        ({"shop/__init__.py": "def create_app(): ..."}, "shop:create_app()"),
        ({"shop/__init__.py": "", "shop/wsgi.py": "application = make()"}, "shop.wsgi:application"),
        ({"src/shop/__init__.py": FLASK + "app = Flask('x')"}, "shop:app"),
        ({"src/app.py": "app = make()"}, "app:app"),
        ({"src/__init__.py": "app = make()"}, "src:app"),
        ({"hello.py": FLASK + "app = Flask('x')", "util.py": "x = 1"}, "hello:app"),
        ({"hello.py": "def simple(environ, start_response): ..."}, "hello:simple"),
        ({"hello-world.py": FLASK + "app = Flask('x')"}, "hello-world.py:app"),
        ({"django.wsgi": "application = make()"}, "./django.wsgi:application"),
        ({"app.py": "from a2wsgi import ASGIMiddleware\napp = ASGIMiddleware(x)"}, "app:app"),
        ({"app.py": "import falcon\napi = falcon.App()"}, "app:api"),
    ],
)  # fmt: skip
def test_apps_are_found_by_convention(tmp_path: Path, files: dict[str, str], app: str) -> None:
    guess = found(tmp_path, files)
    assert guess.app == app
    assert guess.because
    assert settle(tmp_path, guess.app, import_path(tmp_path))[0] == app


def test_more_telling_names_come_first(tmp_path: Path) -> None:
    files = {
        "app.py": "app = a()",
        "wsgi.py": "app = a()\napplication = a()",
        "main.py": "app = a()",
    }
    assert found(tmp_path, files).app == "wsgi:application"


@pytest.mark.parametrize(
    "source",
    [
        "app = None",
        "app = 'x'",
        "app = {}",
        "import app",
        "from . import app",
        "def app(): ...",
        "import typer\napp = typer.Typer()",
        "from celery import Celery\napp = Celery()",
        "if __name__ == '__main__':\n  app = a()",
        "def create_app(config): ...",
        "x = make()",
        "import logging\napp = logging.getLogger()",
        "def f():\n  app = a()",
        "",
    ],
)
def test_what_cannot_be_an_app_is_not_taken_for_one(tmp_path: Path, source: str) -> None:
    error = refused(tmp_path, {"app.py": source})
    assert "no WSGI app" in error.happened
    assert "app.py" in error.detail


@pytest.mark.parametrize(
    "source",
    [
        "print 'hello'\napp = Flask(__name__)\n",
        "app = Flask(__name__)\ndef broken(:\n",
        "def app(environ, start_response):\n  print 'x'\n",
        "web = Flask(__name__)\nexcept = 3\n",
        "app = make()\n\0",
    ],
)
def test_code_with_an_error_is_chosen_so_that_its_own_error_shows(
    tmp_path: Path, source: str
) -> None:
    assert found(tmp_path, {"app.py": source}).app in ("app:app", "app:web")


def test_several_packages_with_an_app_are_listed(tmp_path: Path) -> None:
    files = {"one/__init__.py": "app = a()", "two/__init__.py": "app = a()"}
    error = refused(tmp_path, files)
    assert "one:app" in error.detail
    assert "two:app" in error.detail


def test_of_several_packages_the_one_named_like_the_project_is_it(tmp_path: Path) -> None:
    files = {"one/__init__.py": "app = a()", "two/__init__.py": "app = a()"}
    assert found(tmp_path / "two", files).app == "two:app"


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    error = refused(tmp_path, {})
    assert "manage.py" in error.detail
    assert "hostel up module:callable" in error.remedy


# -- ASGI -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        FASTAPI,
        "import fastapi\napi = fastapi.FastAPI()",
        "from starlette.applications import Starlette as S\napp = S()",
        "from quart import Quart\napp = Quart(__name__)",
        "async def app(scope, receive, send): ...",
        "async def serve(scope, receive, send): ...",
        "class A:\n  async def __call__(self, scope, receive, send): ...\napp = A()",
        "app: FastAPI = build()",
        "from falcon.asgi import App\napp = App()",
    ],
)
def test_an_asgi_app_is_named_as_such_with_a_remedy(tmp_path: Path, source: str) -> None:
    error = refused(tmp_path, {"main.py": source})
    assert "ASGI" in error.happened
    assert "a2wsgi" in error.remedy
    assert len(error.detail.splitlines()) == 2


def test_a_wsgi_app_beside_an_asgi_app_is_taken(tmp_path: Path) -> None:
    files = {
        "main.py": FASTAPI,
        "wsgi.py": "from a2wsgi import ASGIMiddleware\nfrom main import app\n"
        "application = ASGIMiddleware(app)\n",
    }
    assert found(tmp_path, files).app == "wsgi:application"


def test_an_asgi_app_that_was_named_is_refused_too(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": FASTAPI})
    for app in ("main:app", "main.py:app", "main.py"):
        with pytest.raises(UsageError, match="ASGI"):
            settle(tmp_path, app, (".",))


# -- Django ---------------------------------------------------------------------------------------

MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
STATIC = 'INSTALLED_APPS = ["django.contrib.staticfiles"]\nSTATIC_URL = "/static/"\n'


def test_django_says_itself_which_app_it_is(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE, "shop/settings.py": 'WSGI_APPLICATION = "web.wsgi.serve"\n'}
    assert found(tmp_path, files).app == "web.wsgi:serve"


def test_djangos_sqlite_file_is_data_that_stays_in_the_project(tmp_path: Path) -> None:
    files = {
        "manage.py": MANAGE,
        "shop/settings.py": 'WSGI_APPLICATION = "shop.wsgi.application"\n'
        'DATABASES = {"default": {"NAME": BASE_DIR / "db.sqlite3"}}\n',
    }
    assert found(tmp_path, files).keep == ("db.sqlite3",)


def test_django_settings_in_a_package_are_read_with_their_base(tmp_path: Path) -> None:
    files = {
        "manage.py": MANAGE.replace("shop.settings", "shop.settings.production"),
        "shop/settings/production.py": "from .base import *\n",
        "shop/settings/base.py": 'WSGI_APPLICATION = "shop.wsgi.application"\n',
    }
    assert found(tmp_path, files).app == "shop.wsgi:application"


@pytest.mark.parametrize("folder", ["shop", "config", "sites/main"])
def test_django_without_that_setting_has_a_wsgi_file(tmp_path: Path, folder: str) -> None:
    guess = found(tmp_path, {"manage.py": MANAGE, f"{folder}/wsgi.py": ""})
    assert guess.app == f"{folder.replace('/', '.')}.wsgi:application"


def test_django_in_src(tmp_path: Path) -> None:
    files = {
        "src/manage.py": MANAGE,
        "src/shop/settings.py": 'WSGI_APPLICATION = "shop.wsgi.application"\n'
        + STATIC
        + "import os\nBASE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))\n"
        + 'STATIC_ROOT = os.path.join(BASE, "static")\n',
    }
    guess = found(tmp_path, files)
    assert (guess.app, guess.static) == ("shop.wsgi:application", {"/static": "src/static"})
    assert guess.build == ("python", "src/manage.py", "collectstatic", "--noinput")


def test_django_with_asgi_alone_is_told_to_use_wsgi(tmp_path: Path) -> None:
    error = refused(tmp_path, {"manage.py": MANAGE, "shop/asgi.py": ""})
    assert "get_wsgi_application" in error.detail


def test_a_manage_script_of_something_else_is_not_django(tmp_path: Path) -> None:
    assert found(tmp_path, {"manage.py": "from flask_script import Manager", "app.py": "app = a()"})


@pytest.mark.parametrize(
    "setting",
    [
        'STATIC_ROOT = os.environ["X"]',
        'STATIC_ROOT = "/srv/static"',
        "STATIC_ROOT = BASE / ''",
        'STATIC_ROOT = Path(__file__).parent.parent.parent / "x"',
        "",
        "STATIC_ROOT = None",
        'STATIC_ROOT = "x"\nSTATIC_URL = "https://cdn.example/"',
        'STATIC_ROOT = f"{BASE}/x"',
    ],
)
def test_static_files_that_are_not_said_plainly_are_left_to_the_site_file(
    tmp_path: Path, setting: str
) -> None:
    settings = f'WSGI_APPLICATION = "shop.wsgi.application"\n{STATIC}\n{setting}\n'
    guess = found(tmp_path, {"manage.py": MANAGE, "shop/settings.py": settings})
    assert (guess.static, guess.build) == ({}, ())


# -- an app that was named ------------------------------------------------------------------------


def test_a_file_alone_gets_what_is_to_be_called(tmp_path: Path) -> None:
    write(tmp_path, {"x.py": FLASK + "web = Flask('x')", "y.wsgi": "x = 1"})
    assert settle(tmp_path, "x.py", (".",))[0] == "x.py:web"
    assert settle(tmp_path, "y.wsgi", (".",)) == ("./y.wsgi:application", "")


def test_a_file_in_a_package_becomes_its_module(tmp_path: Path) -> None:
    write(tmp_path, {"shop/__init__.py": "", "shop/wsgi.py": "application = a()"})
    assert settle(tmp_path, "shop/wsgi.py", (".",))[0] == "shop.wsgi:application"


def test_a_wsgi_file_that_is_there_wins_over_a_module(tmp_path: Path) -> None:
    write(tmp_path, {"site.wsgi": "app = a()"})
    assert settle(tmp_path, "site.wsgi:app", (".",))[0] == "./site.wsgi:app"


def test_a_module_from_elsewhere_is_left_as_it_is(tmp_path: Path) -> None:
    assert settle(tmp_path, "pypiserver:app()", (".",)) == ("pypiserver:app()", "")


# -- hostile source -------------------------------------------------------------------------------

code = st.text(st.sampled_from("apf=()[]:,.\n \t'\"\\\0é#@*") | st.characters(), max_size=80)


@given(code | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_no_source_can_break_the_reader(source: str) -> None:
    names = bindings(source.encode(errors="replace"))
    choose(names)
    choose(names, certain=True)
    asgi(names)


@pytest.mark.parametrize("source", ["app = " + "(" * 50_000, "app = x" + ".a" * 50_000, "-" * 9999])
def test_absurdly_nested_source_is_read_line_by_line(source: str) -> None:
    bindings(source.encode())
