"""The first site file of a project: a site as annotated TOML, other keys as examples. Pure.

What is known of the site stands there as it is; a line that begins with # and no blank after it is
an example that only has to be uncommented. The result, read again, is the same site.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from hostel.commands import command
from hostel.site import Site

HEAD = """\
# What Hostel needs to know of this site. Lines that begin with # and no blank are examples: remove
# the # to use one. Whatever is left out is worked out from the project.
#
#     hostel up            host it on this machine
#     sudo hostel apply    bring it into service on a server
"""

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def site_file(site: Site, usual_path: Sequence[str] = (".",)) -> str:
    """The text of the site file; `usual_path` is the `path` that holds without saying it."""
    parts = [HEAD, *_top(site, usual_path), *_serving(site), *_around(site), *_commands(site)]
    return "\n".join(parts)


def _top(site: Site, usual_path: Sequence[str]) -> list[str]:
    path = None if site.path == tuple(usual_path) else site.path
    return [
        _key("Name of the site, of its user and its database.", "name", site.name),
        _key('What is served: "module:callable", "module:factory()", or a file.', "app", site.app),
        _key(
            "Host names; the first is canonical. Without any, the site answers as localhost.",
            "domains",
            site.domains or None,
            ("example.com", "www.example.com"),
        ),
        _key("Version of Python, in quotes.", "python", site.python, "3.12"),
        _key("Folders to import from.", "path", path, tuple(usual_path)),
        _key(
            "What the app writes to, below the project. Better: the folder in DATA_DIR.",
            "keep",
            site.keep or None,
            ("media",),
        ),
    ]


def _serving(site: Site) -> list[str]:
    return [
        "[server]",
        "# By default as the machine's cores and memory are.",
        "#processes = 4",
        "#threads = 32",
        '#memory = "512MB"\n',
        "# The longest wait for a client in seconds, and the largest body of a request.",
        "#request_timeout = 60",
        '#max_body = "100MB"\n',
        "# URL prefixes and the folders that httpd serves below them, without the app.",
        "[static]",
        *(_pairs(site.static) or ['#"/static" = "static"']),
        "",
    ]


def _around(site: Site) -> list[str]:
    on = site.database is not None
    extensions = site.database.extensions if site.database else ()
    mark = "" if on else "#"
    return [
        "# Variables of the app, committed with its code. Secrets belong elsewhere: on a server",
        "# `hostel env set NAME` keeps them, on your machine a file .env that is not committed.",
        "[env]",
        *(_pairs(site.env) or ['#GREETING = "hello"']),
        "",
        "# A PostgreSQL database of the site's own; the app finds it by DATABASE_URL.",
        f"{mark}[database]",
        f"extensions = {_value(extensions)}" if extensions else '#extensions = ["citext"]',
        "",
        "[tls]",
        '# "off" is plain HTTP.',
        '#mode = "local"\n',
        "# The request that shows whether the app works, before anybody is led to a new release.",
        "[health]",
        '#path = "/healthz"',
        "#timeout = 30\n",
    ]


def _commands(site: Site) -> list[str]:
    build, release = site.hooks.build, site.hooks.release
    workers = {name: _words(worker.command) for name, worker in site.workers.items()}
    return [
        "# Commands, run without a shell: in each new release, and before each switch to one.",
        "[hooks]",
        f"build = {_words(build)}" if build else '#build = "python compile.py"',
        f"release = {_words(release)}" if release else '#release = "python migrate.py"',
        "",
        "# Commands that run beside the app, on a server.",
        "[workers]" if workers else "#[workers]",
        *([f"{_bare(name)} = {words}" for name, words in workers.items()] or [_WORKER]),
        "",
        "# Commands that run at set times, on a server.",
        "#[cron]",
        '#nightly = { schedule = "30 4 * * *", command = "python nightly.py" }\n',
    ]


_WORKER = '#mail = "python mail.py"'


def _key(comment: str, name: str, value: object, example: object = None) -> str:
    line = f"#{name} = {_value(example)}" if value is None else f"{name} = {_value(value)}"
    return f"# {comment}\n{line}\n"


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [f"{_bare(name)} = {_value(value)}" for name, value in values.items()]


def _words(words: Sequence[str]) -> str:
    """A command as one string where that means the same, else as the list of its words."""
    joined = shlex.join(words)
    try:
        same = command(joined) == tuple(words)
    except ValueError:
        same = False
    return _value(joined if same else tuple(words))


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f'"{"".join(map(_escaped, str(value)))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char >= " " and char != "\x7f" else f"\\u{ord(char):04x}"
