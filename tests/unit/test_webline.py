"""The app that other servers' command lines serve is found, or it is said why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel import site_values as values
from hostel.webline import WebApp, web_app


@pytest.mark.parametrize(
    ("line", "app"),
    [
        ("gunicorn guestbook:app", "guestbook:app"),
        ("gunicorn mysite.wsgi", "mysite.wsgi:application"),
        ("gunicorn mysite.wsgi --log-file -", "mysite.wsgi:application"),
        ("gunicorn --log-file - --preload mysite.wsgi", "mysite.wsgi:application"),
        ("gunicorn -w 4 -k gevent -b 0.0.0.0:$PORT app:app", "app:app"),
        ("gunicorn -w4 --bind=0.0.0.0:${PORT:-8000} app:app", "app:app"),
        ("gunicorn -c gunicorn.conf.py --reload app:app", "app:app"),
        ("gunicorn 'shop:create_app()'", "shop:create_app()"),
        ("exec gunicorn app:app", "app:app"),
        ("uv run gunicorn app:app", "app:app"),
        ("python3 -m gunicorn app:app", "app:app"),
        ("/usr/bin/gunicorn app:app", "app:app"),
        ("waitress-serve --port=$PORT shop.main:wsgi", "shop.main:wsgi"),
        ("waitress-serve --listen *:$PORT --call shop:create_app", "shop:create_app()"),
        ("waitress-serve --app=shop:app", "shop:app"),
        ("uwsgi --http :$PORT --master --module mysite.wsgi:app", "mysite.wsgi:app"),
        ("uwsgi --http-socket=:$PORT -w app --callable server", "app:server"),
        ("uwsgi --wsgi-file hello.py --callable app", "hello.py:app"),
        ("uwsgi --wsgi-file site.wsgi", "site.wsgi"),
        ("mod_wsgi-express start-server wsgi.py --processes 4 --port $PORT", "wsgi.py"),
        (
            "mod_wsgi-express start-server --url-alias /static static --log-to-terminal site.wsgi",
            "site.wsgi",
        ),
        ("mod_wsgi-express start-server wsgi.py --callable-object app", "wsgi.py:app"),
        ("mod_wsgi-express start-server --application-type module shop", "shop:application"),
    ],
)  # fmt: skip
def test_apps_of_other_servers(line: str, app: str) -> None:
    assert web_app(line) == WebApp(app)


@pytest.mark.parametrize(
    ("line", "folders"),
    [
        ("gunicorn --chdir src app:app", ("src",)),
        ("gunicorn --pythonpath lib,./more app:app", ("lib", "more")),
        ("uwsgi --chdir=web -w app:app", ("web",)),
    ],
)
def test_the_folders_of_a_server_are_imported_from(line: str, folders: tuple[str, ...]) -> None:
    assert web_app(line).folders == folders


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("python app.py", '"python" is no WSGI server'),
        ("flask run", '"flask" is no WSGI server'),
        ("python manage.py migrate && gunicorn app:app", '"&&" makes it more than one'),
        ("gunicorn app:app > log", '">"'),
        ("gunicorn $(cat app)", "more than one"),
        ("DEBUG=1 gunicorn app:app", r"\[env\]"),
        ("gunicorn -e DEBUG=1 app:app", r"\[env\]"),
        ("uvicorn app:app", "ASGI"),
        ("gunicorn -k uvicorn.workers.UvicornWorker app:app", "ASGI"),
        ("gunicorn", "names no app"),
        ("gunicorn -c gunicorn.conf.py", "names no app"),
        ("gunicorn app:app other:app", "more than one app"),
        ("gunicorn 'app:make(\"x\")'", "nothing to call"),
        ("gunicorn --chdir /app app:app", "relative to the project"),
        ("uwsgi uwsgi.ini", "neither --module"),
        ("mod_wsgi-express setup-server wsgi.py", "start-server"),
        ("gunicorn 'app:app", "a quote is opened"),
        ("exec", "no WSGI server"),
    ],
)
def test_what_names_no_app_is_said(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        web_app(line)


@given(
    st.lists(
        st.sampled_from(["gunicorn", "uwsgi", "-w", "--chdir", "exec", "mod_wsgi-express", "-"])
        | st.text(max_size=6)
        | st.sampled_from(["waitress-serve", "--call", "start-server", "a:b", "a.py", "--x=y"])
    ).map(" ".join)
)
def test_whatever_is_found_is_an_app_that_the_site_file_could_name(line: str) -> None:
    try:
        found = web_app(line)
    except ValueError:
        return
    assert values.app(found.app) == found.app
    assert tuple(map(values.folder, found.folders)) == found.folders
