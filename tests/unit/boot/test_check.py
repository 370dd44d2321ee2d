"""What an app's shape and its errors are taken for."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hostel.boot.check import classify, examine, failed, is_asgi, slow, story
from hostel.boot.load import kind


def plain(environ: Any, start_response: Any) -> list[bytes]:
    return []


def factory() -> object:
    return plain


def factory_with_defaults(config: object = None, testing: bool = False) -> object:
    return plain


def paste_factory(global_config: object, **settings: object) -> object:
    return plain


async def asgi(scope: object, receive: object, send: object) -> None:
    await asyncio.sleep(0)


def asgi_returning_a_coroutine(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


class Wsgi:
    def __call__(self, environ: object, start_response: object) -> list[bytes]:
        return []


class Asgi:
    async def __call__(self, scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(0)


@functools.wraps(plain)
def wrapped(*args: object, **kwargs: object) -> list[bytes]:
    return []


def anything(*args: object, **kwargs: object) -> list[bytes]:
    return []


@pytest.mark.parametrize("app", [plain, Wsgi(), wrapped, anything, functools.partial(plain), print])
def test_what_takes_environ_and_start_response_is_an_app(app: object) -> None:
    assert examine(app, "m:app", kind)["ok"]


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        (factory, "needs-factory-call"),
        (factory_with_defaults, "needs-factory-call"),
        (Wsgi, "needs-factory-call"),
        (paste_factory, "wrong-signature"),
        (asgi, "asgi"),
        (Asgi(), "asgi"),
        (asgi_returning_a_coroutine, "asgi"),
        ("text", "not-callable"),
        (None, "not-callable"),
        (functools, "not-callable"),
    ],
)
def test_what_is_no_app_is_named(app: object, problem: str) -> None:
    verdict = examine(app, "m:app", kind)
    assert not verdict["ok"]
    assert verdict["problem"] == problem


def test_wsgi_apps_are_no_asgi() -> None:
    assert not any(map(is_asgi, [plain, Wsgi(), anything, None, "text"]))


def caught(text: str, filename: str = "app.py") -> BaseException:
    try:
        exec(compile(text, filename, "exec"), {})
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "text",
    [
        "print 'hello'",
        "print x",
        "import sys\nprint >>sys.stderr, 1",
        "exec 'a'",
        "raise E, 'x'",
        "a <> b",
        "`x`",
        "ur'x'",
        "mode = 0755",
        "isinstance('', basestring)",
        "xrange(3)",
        "unicode('')",
        "import urllib2",
        "import ConfigParser",
        "{}.iteritems()",
        "raw_input()",
    ],
)
def test_python_2_is_known_by_its_words(text: str) -> None:
    assert classify(caught(text)) == "python2"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def f(:", "syntax-error"),
        ("x = (1", "syntax-error"),
        ("  x = 1", "syntax-error"),
        ("import no_such_thing", "no-module"),
        ("1 / 0", "import-error"),
        ("from os import nothing", "import-error"),
        ("undefined", "import-error"),
        ("raise SystemExit(3)", "exit"),
        ("raise KeyboardInterrupt", "import-error"),
    ],
)
def test_other_errors_are_told_apart(text: str, problem: str) -> None:
    assert classify(caught(text)) == problem


def test_the_missing_module_is_told() -> None:
    assert failed(caught("import no_such.thing"), Path("/"))["module"] == "no_such"


def traced(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_story_shows_the_apps_own_frames_and_counts_those_of_others(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("import json\ndef load():\n    return json.loads('{')\nload()\n")
    code = compile(app.read_text(), str(app), "exec")
    lines = story(traced(lambda: exec(code, {})), tmp_path).splitlines()
    shown = [line.strip() for line in lines]
    assert 'File "app.py", line 4, in <module>' in shown
    assert 'File "app.py", line 3, in load' in shown
    assert "... 3 frames in Python's library" in shown
    assert shown[-1].startswith("json.decoder.JSONDecodeError")


def test_a_story_tells_causes_first(tmp_path: Path) -> None:
    text = "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('b') from e\n"
    told = story(caught(text, str(tmp_path / "a.py")), tmp_path)
    assert told.index("ZeroDivisionError") < told.index("and because of that") < told.index("KeyE")


def test_a_suppressed_context_is_not_told(tmp_path: Path) -> None:
    text = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError('b') from None\n"
    assert "ZeroDivision" not in story(caught(text, str(tmp_path / "a.py")), tmp_path)


def test_a_syntax_error_shows_its_line_and_place(tmp_path: Path) -> None:
    path = tmp_path / "pkg" / "views.py"
    error = caught("x = 1\nif x\n    y = 2\n", str(path))
    told = story(error, tmp_path)
    assert 'File "pkg/views.py", line 2' in told
    assert "if x" in told
    assert failed(error, tmp_path)["message"].endswith("(views.py, line 2)")


def test_of_an_app_that_is_not_loaded_in_time_it_is_told_where_it_is(tmp_path: Path) -> None:
    """In the app's own frames; the thread goes on meanwhile."""
    ends = threading.Event()
    source = tmp_path / "app.py"
    source.write_text("def connect(wait):\n    wait()\n\n\nconnect(wait)\n")
    code = compile(source.read_text(), str(source), "exec")
    thread = threading.Thread(target=exec, args=(code, {"wait": ends.wait}))
    thread.start()
    try:
        assert thread.ident is not None
        verdict = slow(thread.ident, 0.5, tmp_path)
    finally:
        ends.set()
        thread.join()
    assert (verdict["ok"], verdict["problem"]) == (False, "slow")
    assert "within 0.5 s" in verdict["message"]
    assert 'File "app.py", line 5, in <module>' in verdict["traceback"]
    assert 'File "app.py", line 2, in connect' in verdict["traceback"]
