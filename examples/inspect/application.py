"""Says what a hosted WSGI app sees: its request, environment, Python and process."""

import html
import importlib
import ipaddress
import json
import locale
import os
import platform
import pwd
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from wsgiref.types import StartResponse, WSGIEnvironment

type_plain, type_html, type_json = "text/plain", "text/html", "application/json"

Facts = dict[str, dict[str, object]]
"""Facts by section and name; a value is text, a number, true or false, or a list of texts."""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if not is_loopback(environ.get("REMOTE_ADDR", "")):
        status, kind = "403 Forbidden", type_plain
        text = "This page answers only to clients on the same machine.\n"
    else:
        status, facts = "200 OK", collect(environ)
        if environ.get("PATH_INFO") == "/json":
            kind, text = type_json, json.dumps(facts, indent=2) + "\n"
        elif prefers_html(environ.get("HTTP_ACCEPT", "")):
            kind, text = type_html, as_html(facts, environ.get("SCRIPT_NAME", "") + "/json")
        else:
            kind, text = type_plain, as_text(facts)

    body = text.encode()
    headers = [
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ("Vary", "Accept"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


# Who asks, and what for


def is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        return ip.ipv4_mapped.is_loopback
    return ip.is_loopback


def prefers_html(accept: str) -> bool:
    """Whether an Accept header ranks HTML above plain text."""
    quality: dict[str, float] = {}
    for item in accept.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        q = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            quality[media] = float(q)
        except ValueError:
            quality[media] = 0

    def rank(media: str) -> float:
        patterns = (media, "text/*", "*/*")
        return next((quality[pattern] for pattern in patterns if pattern in quality), 0)

    return rank(type_html) > rank(type_plain)


# What there is to say


def collect(environ: WSGIEnvironment) -> Facts:
    account = os.getuid()
    try:
        user = pwd.getpwuid(account).pw_name
    except KeyError:
        user = "(no name)"
    try:
        folder = os.getcwd()  # noqa: PTH109
    except OSError as error:
        folder = f"({error.strerror})"
    return {
        "request": masked(
            {
                name: value if isinstance(value, str | bool | int) else repr(value)
                for name, value in sorted(environ.items())
                if isinstance(value, str | bool | int | tuple)
            }
        ),
        "environment": masked(dict(sorted(os.environ.items()))),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "build": sys.version,
            "sys.executable": safe(str(sys.executable)),
            "sys.prefix": safe(sys.prefix),
            "sys.base_prefix": safe(sys.base_prefix),
            "sys.argv": [safe(argument) for argument in getattr(sys, "argv", [])],
            "sys.path": [safe(folder) for folder in sys.path],
            "os.__file__": safe(os.__file__),
            "free threading": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            **where_is("flask"),
        },
        "process": {
            "pid": os.getpid(),
            "parent pid": os.getppid(),
            "multiprocess": bool(environ.get("wsgi.multiprocess")),
            "multithread": bool(environ.get("wsgi.multithread")),
            "run once": bool(environ.get("wsgi.run_once")),
            "thread": threading.current_thread().name,
            "threads seen by Python": threading.active_count(),
            "user": f"{user} ({account})",
            "group": os.getgid(),
            "working folder": safe(folder),
            "host": platform.node(),
            "system": platform.platform(),
        },
        "encoding": {
            "default": sys.getdefaultencoding(),
            "file names": f"{sys.getfilesystemencoding()}, {sys.getfilesystemencodeerrors()}",
            "open()": locale.getpreferredencoding(do_setlocale=False),
            "stderr": str(getattr(sys.stderr, "encoding", None)),
            "UTF-8 mode": bool(sys.flags.utf8_mode),
            "LC_CTYPE": locale.setlocale(locale.LC_CTYPE),
            "time zone": "/".join(time.tzname),
        },
    }


def where_is(module: str) -> dict[str, object]:
    try:
        return {f"{module}.__file__": safe(str(importlib.import_module(module).__file__))}
    except Exception as error:  # whatever the module raises is the answer
        return {f"import {module}": safe(f"{type(error).__name__}: {error}")}


# Nothing secret leaves

MASK = "***"
SECRET = "SECRET|TOKEN|PASSW|PASSPHRASE|PASS|PWD|KEY|CREDENTIAL|AUTH|COOKIE|DSN|SESSION|SIGNATURE"
SECRET_NAME = re.compile(f"(?!(OLD)?PWD$).*({SECRET})", re.IGNORECASE | re.DOTALL)
SECRET_PARTS = (
    (re.compile(r"(\w://[^\s/:@]*:)[^\s?#]*(?=@)"), rf"\1{MASK}"),  # scheme://user:password@host
    (re.compile(r"(https?://)[^\s/:@]+(?=@)"), rf"\1{MASK}"),  # https://token@host
    (
        re.compile(rf"([\w.-]*(?:{SECRET})[\w.-]*\s*=\s*)('[^']*'|[^\s&;#]+)", re.IGNORECASE),
        rf"\1{MASK}",  # password=..., in a query or a connection string
    ),
    (re.compile(r".*PRIVATE KEY.*", re.DOTALL), MASK),
)


def masked(values: Mapping[str, object]) -> dict[str, object]:
    def mask(name: str, value: object) -> object:
        if value and SECRET_NAME.match(name):
            return MASK
        return safe(value) if isinstance(value, str) else value

    return {safe(name): mask(name, value) for name, value in values.items()}


def safe(text: str) -> str:
    """The text without the secrets in it, on one line, with unprintable characters escaped."""
    for pattern, replacement in SECRET_PARTS:
        text = pattern.sub(replacement, text)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# How to say it


def rows(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, list):
            yield from ((f"{name}[{index}]", item) for index, item in enumerate(value))
        else:
            yield name, str(value)


def as_text(facts: Facts) -> str:
    sections = (
        f"{title.capitalize()}\n\n" + "".join(f"{name}\t{value}\n" for name, value in rows(section))
        for title, section in facts.items()
    )
    return f"{'-' * 80}\n".join(sections)


def as_html(facts: Facts, json_url: str) -> str:
    tables = "".join(
        f"<section><h2>{html.escape(title.capitalize())}</h2><table>"
        + "".join(
            f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
            for name, value in rows(section)
        )
        + "</table></section>"
        for title, section in facts.items()
    )
    return PAGE.replace("{json}", html.escape(json_url)).replace("{tables}", tables)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>What this app sees</title>
<style>
  :root { color-scheme: light dark; --line: #8883; --soft: #8881; }
  body { max-width: 66rem; margin: 0 auto; padding: 2rem 1rem 4rem;
         font: 1rem/1.5 system-ui, sans-serif; }
  h1 { margin: 0; font-size: 1.75rem; letter-spacing: -.02em; }
  h2 { margin: 2.5rem 0 .5rem; font-size: 1.1rem; }
  p { margin: .25rem 0; opacity: .75; }
  table { width: 100%; border-collapse: collapse; border-top: 1px solid var(--line);
          font: .85rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
  tr { border-bottom: 1px solid var(--line); }
  tr:hover { background: var(--soft); }
  th, td { padding: .35rem .5rem; text-align: left; vertical-align: top;
           overflow-wrap: anywhere; }
  th { width: 32%; font-weight: 500; opacity: .75; }
  @media (max-width: 40rem) {
    th, td { display: block; width: auto; padding: .25rem .5rem; }
    td { padding-top: 0; }
  }
</style>
<h1>What this app sees</h1>
<p>Also as <a href="{json}">JSON</a>, and as text for those who do not ask for HTML.
   Secrets are shown as ***.</p>
{tables}
</html>
"""
