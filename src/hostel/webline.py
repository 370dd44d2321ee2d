"""Which app a command line of another WSGI server serves, as Procfiles hold them. Pure.

Knows gunicorn, uWSGI, waitress and mod_wsgi-express. Reads no file that a command line names, so
an app that only a server's own configuration tells is not found. Raises ValueError, saying why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hostel import site_values as values
from hostel.commands import needs_shell
from hostel.site_values import APP_FILES, shown

GUNICORN_FLAGS = frozenset(
    (
        *("--reload", "--preload", "--daemon", "-D", "--spew", "--check-config"),
        *("--print-config", "--capture-output", "--enable-stdio-inheritance", "-R"),
        *("--no-sendfile", "--disable-redirect-access-to-syslog", "--initgroups", "--reuse-port"),
        *("--proxy-protocol", "--strip-header-spaces", "--log-syslog", "--suppress-ragged-eofs"),
        *("--do-handshake-on-connect", "--permit-obsolete-folding"),
    )
)
WAITRESS_FLAGS = frozenset(
    ("--call", "--expose-tracebacks", "--no-expose-tracebacks", "--asyncore-use-poll")
)
RUNNERS = (("uv", "run"), ("poetry", "run"), ("pipenv", "run"), ("pdm", "run"))
ASGI_SERVERS = ("uvicorn", "daphne", "hypercorn", "granian")

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")
_PYTHON = re.compile(r"python[0-9.]*")
_SETS = re.compile(r"[A-Za-z_]\w*=")

Options = dict[str, list[str]]


@dataclass(frozen=True)
class WebApp:
    """The app as the site file would name it, and folders that are imported from first."""

    app: str
    folders: tuple[str, ...] = ()


def web_app(command: str) -> WebApp:
    """The app that `command` serves. A variable in it, such as $PORT, is not looked at: what
    another server listens on does not matter here.
    """
    plain = _VARIABLE.sub("0", command)
    found = needs_shell(plain)
    if found:
        raise ValueError(f"{shown(found)} makes it more than one command")
    try:
        words = shlex.split(plain)
    except ValueError:
        raise ValueError("a quote is opened and not closed") from None
    words = _without_wrappers(words)
    server = PurePosixPath(words[0]).name if words else ""
    if server in ASGI_SERVERS:
        raise ValueError(f"{server} serves ASGI apps; Hostel hosts WSGI apps")
    if words and _SETS.match(words[0]):
        raise ValueError("it sets variables, which belong in [env]")
    if server not in _SERVERS:
        raise ValueError(f"{shown(server)} is no WSGI server that is known here")
    found_app = _SERVERS[server](words[1:])
    return WebApp(values.app(found_app.app), tuple(map(values.folder, found_app.folders)))


def _without_wrappers(words: list[str]) -> list[str]:
    if words[:1] == ["exec"]:
        words = words[1:]
    if tuple(words[:2]) in RUNNERS:
        words = words[2:]
    if len(words) > 2 and _PYTHON.fullmatch(words[0]) and words[1] == "-m":
        words = words[2:]
    return words


def _gunicorn(words: Sequence[str]) -> WebApp:
    options, rest = _options(words, GUNICORN_FLAGS)
    if options.keys() & {"-e", "--env"}:
        raise ValueError("it sets variables with --env, which belong in [env]")
    classes = [*options.get("-k", []), *options.get("--worker-class", [])]
    if any("uvicorn" in name or "asgi" in name.lower() for name in classes):
        raise ValueError(f"its worker class {classes[-1]} serves ASGI apps; Hostel hosts WSGI apps")
    folders = [*options.get("--chdir", [])]
    for listed in options.get("--pythonpath", []):
        folders += listed.split(",")
    return WebApp(_named(rest), tuple(folders))


def _waitress(words: Sequence[str]) -> WebApp:
    options, rest = _options(words, WAITRESS_FLAGS)
    app = _named([*options.get("--app", []), *rest])
    return WebApp(f"{app.removesuffix('()')}()" if "--call" in words else app)


def _uwsgi(words: Sequence[str]) -> WebApp:
    options, _rest = _options(words, frozenset(("--master", "-M", "--enable-threads", "--vacuum")))

    def last(*names: str) -> str:
        return next((options[name][-1] for name in names if name in options), "")

    module, file = last("--module", "-w", "--wsgi"), last("--wsgi-file", "--file")
    folders = [options[name][-1] for name in ("--chdir", "--pythonpath", "--pp") if name in options]
    where, _, name = module.partition(":")
    name = last("--callable") or name
    if where:
        return WebApp(f"{where}:{name or 'application'}", tuple(folders))
    if not file:
        raise ValueError("it names neither --module nor --wsgi-file")
    return WebApp(f"{file}:{name}" if name else file, tuple(folders))


def _express(words: Sequence[str]) -> WebApp:
    if words[:1] != ["start-server"]:
        raise ValueError("only mod_wsgi-express start-server serves an app")
    options, _rest = _options(words[1:], frozenset())
    name = options.get("--callable-object", [""])[-1]
    kind = options.get("--application-type", ["script"])[-1]
    if kind == "module":
        return WebApp(f"{words[-1]}:{name or 'application'}")
    files = [word for word in words if word.endswith(APP_FILES) and not word.startswith("-")]
    if kind != "script" or len(files) != 1:
        raise ValueError("it names no WSGI script, or several")
    return WebApp(f"{files[0]}:{name}" if name else files[0])


_SERVERS: dict[str, Callable[[Sequence[str]], WebApp]] = {
    "gunicorn": _gunicorn,
    "waitress-serve": _waitress,
    "waitress": _waitress,
    "uwsgi": _uwsgi,
    "mod_wsgi-express": _express,
}


def _options(words: Sequence[str], flags: frozenset[str]) -> tuple[Options, list[str]]:
    """Options with their values, and what is none; all but `flags` are taken to have a value."""
    options: Options = {}
    rest: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            rest.append(word)
        elif equals:
            options.setdefault(name, []).append(value)
        elif not word.startswith("--") and len(word) > 2:
            options.setdefault(word[:2], []).append(word[2:])
        elif word not in flags and index < len(words):
            options.setdefault(word, []).append(words[index])
            index += 1
    return options, rest


def _named(words: Sequence[str]) -> str:
    """The app of servers that take "module:callable", or a module that holds `application`."""
    if len(words) != 1:
        raise ValueError("it names no app" if not words else "it names more than one app")
    return words[0] if ":" in words[0] else f"{words[0]}:application"
