"""A Procfile says what the site file does not: the app, the release hook, the workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.procfile import Found, found_in
from hostel.site import Site
from hostel.sitefile import load_site
from hostel.target import resolve


def found(text: str, named: bool = True, **said: Any) -> Found:
    return found_in(text, said, app_is_named=named)


def test_nothing_comes_of_no_procfile() -> None:
    assert found("", named=False) == Found(None, {}, ())


def test_every_line_but_web_and_release_is_a_worker() -> None:
    it = found(
        "# comment\n\nweb: gunicorn a:b\nworker: python -m rq 'a b'\nCelery_Beat:celery beat"
    )
    assert it.values == {
        "workers": {"worker": ["python", "-m", "rq", "a b"], "celery-beat": ["celery", "beat"]}
    }
    assert it.notes == ("Procfile: worker, celery-beat are workers. Say otherwise with [workers].",)


def test_workers_of_the_site_file_win_and_that_is_said() -> None:
    it = found("worker: x\n", workers={"a": "b"})
    assert it.values == {}
    assert it.notes == ("Procfile: worker not used: the site file has [workers], which wins.",)


def test_release_is_the_release_hook_unless_there_is_one() -> None:
    text = "release: python manage.py migrate\n"
    assert found(text).values == {"hooks": {"release": ["python", "manage.py", "migrate"]}}
    assert found(text, hooks={"build": "x"}).values == {
        "hooks": {"build": "x", "release": ["python", "manage.py", "migrate"]}
    }
    it = found(text, hooks={"release": "x"})
    assert it.values == {}
    assert "is not used" in it.notes[0]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("rq $QUEUE", "$QUEUE"),
        ("rq ${Q}", "${"),
        ("a && b", "&&"),
        ("a | b", "|"),
        ("a `b`", "`b`"),
    ],
)
def test_a_line_that_needs_a_shell_is_left_out_by_name_with_what_to_write(
    command: str, what: str
) -> None:
    it = found(f"ok: a\nmail: {command}\n")
    assert it.values == {"workers": {"ok": ["a"]}}
    assert it.notes[0].startswith("Procfile:2  mail is left out: ")
    assert what[:1] in it.notes[0]
    assert '[workers] mail = ["sh", "-c", "..."]' in it.notes[0]


def test_a_shell_that_was_asked_for_is_a_command_like_any_other() -> None:
    it = found("mail: sh -c 'rq $QUEUE && date'")
    assert it.values == {"workers": {"mail": ["sh", "-c", "rq $QUEUE && date"]}}


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("mail", "Procfile:1  is left out: it is not NAME: COMMAND."),
        ("mail:", "Procfile:1  is left out: it is not NAME: COMMAND."),
        ("a b: c", "Procfile:1  is left out: it is not NAME: COMMAND."),
        ("a: b\na: c", "Procfile:2  is left out: a is there already."),
        ("a: b\nA: c", "Procfile:2  A is left out: as a it is there already."),
        ("1a: b", "Procfile:1  1a is left out: it has no name for a unit."),
        ("a: X=1 b", "Procfile:1  a is left out: variables cannot be set in front"),
        ("release: a 'b", "Procfile:1  release is left out: a quote is opened"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(text: str, note: str) -> None:
    assert any(one.startswith(note) for one in found(text).notes)


def test_a_web_line_names_the_app_unless_it_is_known() -> None:
    line = "web: gunicorn --chdir lib a:b -b :$PORT"
    web = found(line, named=False).web
    assert web is not None
    assert (web.app, web.folders) == ("a:b", ("lib",))
    assert found(line, named=True) == Found(None, {}, ())


def test_a_web_line_that_is_not_understood_is_said() -> None:
    it = found("web: python app.py", named=False)
    assert it.web is None
    assert it.notes[0].startswith('Procfile:1  web was not understood: "python" is no WSGI server')


@given(st.text() | st.text("aA:_- '$&\n#\"web1", max_size=40))
def test_whatever_is_taken_from_a_procfile_a_site_can_have(text: str) -> None:
    it = found(text, named=False)
    assert Site.model_validate({"name": "a", "app": "a:b", **it.values})
    assert all(note.isprintable() for note in it.notes)


# -- with a project around it ---------------------------------------------------------------------


def project(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_toml", ".toml").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def load(root: Path) -> tuple[Site, tuple[str, ...]]:
    return load_site(resolve(str(root)))


def test_a_project_with_a_procfile_needs_no_site_file(tmp_path: Path) -> None:
    project(
        tmp_path,
        Procfile="web: gunicorn --chdir web server:make()\nrelease: a b\nworker: c\n".replace(
            "server:make()", "'server:make()'"
        ),
        web__server_py="def make(): ...\n",
    )
    site, notes = load(tmp_path)
    assert (site.app, site.path) == ("server:make()", ("web", "."))
    assert site.hooks.release == ("a", "b")
    assert site.workers["worker"].command == ("c",)
    assert notes[0].startswith('app = "server:make()": the web line of Procfile serves it.')


def test_the_web_line_wins_over_what_would_be_guessed(tmp_path: Path) -> None:
    project(tmp_path, Procfile="web: gunicorn other:it", app_py="def app(e, s): ...", other_py="")
    assert load(tmp_path)[0].app == "other:it"


def test_an_app_that_the_site_file_names_wins_over_the_web_line(tmp_path: Path) -> None:
    project(tmp_path, Procfile="web: gunicorn other:it\nw: c", hostel_toml='app = "a:b"')
    site, notes = load(tmp_path)
    assert site.app == "a:b"
    assert set(site.workers) == {"w"}
    assert len(notes) == 1


def test_without_a_web_line_that_is_understood_the_app_is_looked_for(tmp_path: Path) -> None:
    project(tmp_path, Procfile="web: python app.py", app_py="def app(e, s): ...")
    site, notes = load(tmp_path)
    assert site.app == "app:app"
    assert "was not understood" in notes[1]


def test_djangos_static_files_and_the_release_line_go_together(tmp_path: Path) -> None:
    project(
        tmp_path,
        Procfile="web: gunicorn shop.wsgi\nrelease: python manage.py migrate\n",
        manage_py='import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n',
        shop__settings_py=(
            "from pathlib import Path\n"
            "BASE_DIR = Path(__file__).resolve().parent.parent\n"
            'WSGI_APPLICATION = "shop.wsgi.application"\n'
            'INSTALLED_APPS = ["django.contrib.staticfiles"]\n'
            'STATIC_URL = "static/"\n'
            'STATIC_ROOT = BASE_DIR / "collected"\n'
        ),
    )
    site, _notes = load(tmp_path)
    assert site.app == "shop.wsgi:application"
    assert site.static == {"/static": "collected"}
    assert site.hooks.build == ("python", "manage.py", "collectstatic", "--noinput")
    assert site.hooks.release == ("python", "manage.py", "migrate")
