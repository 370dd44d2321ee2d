"""What one value of a site file may be: each function takes a value, returns it settled. Pure.

Raises ValueError with a sentence for the person who wrote the value. Reads no files and knows
no keys: which value belongs to which key is `hostel.site`.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?")
TASK = re.compile(r"[a-z][a-z0-9-]{0,20}")
EXTENSION = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
RESERVED_NAMES = frozenset({"none", "postgres", "public", "template0", "template1"})
"""Roles and databases that PostgreSQL keeps for itself."""

APP_FILES = (".py", ".wsgi")
OWN_FOLDERS = (".git", ".hostel")
OWN_URLS = "/.well-known/hostel"
"""Below it an instance answers Hostel's own probes."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IDNA_DIFFERS = frozenset("ßς\u200c\u200d")


def shown(value: object) -> str:
    """A value in quotes for a message: one line, printable, at most about 60 characters."""
    text = str(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    inside = "".join(_escape(char) for char in text)
    return f'"{inside}"'


def _escape(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def has_control(text: str) -> bool:
    """Whether it holds what could end or split a line, or that UTF-8 cannot carry."""
    return any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is no site name: a lower-case letter, then up to 30 lower-case "
            "letters, digits or hyphens"
        )
    if value in RESERVED_NAMES:
        raise ValueError(f"{shown(value)} is a name that PostgreSQL keeps for itself; use another")
    return value


def task(value: str) -> str:
    """The name of a worker or of a command at set times; it becomes part of a unit's name."""
    if not TASK.fullmatch(value):
        raise ValueError(
            f"{shown(value)} cannot be its name: a lower-case letter, then up to 20 lower-case "
            "letters, digits or hyphens"
        )
    return value


def name_from(text: str) -> str:
    """A site name made of a folder's name; always one that `name` accepts."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not NAME.match(slug) or slug in RESERVED_NAMES:
        slug = f"site-{slug}"
    return slug[:31].strip("-")


@dataclass(frozen=True)
class AppParts:
    """An app taken apart: `file` (relative to the project) or `module` is None, `name` is dotted.

    `name` is empty where the app is a file and nothing more was said; `factory` says that what
    bears the name is to be called once, without arguments, to get the app.
    """

    file: str | None
    module: str | None
    name: str
    factory: bool = False

    def __str__(self) -> str:
        where = self.file or self.module or ""
        if self.file and self.name and is_module_like(where):
            where = f"./{where}"
        return f"{where}:{self.name}{'()' if self.factory else ''}" if self.name else where


def is_module_like(where: str) -> bool:
    """Whether "site.wsgi" in front of a colon is taken for a module; "./site.wsgi" is a file."""
    return where.endswith(".wsgi") and all(part.isidentifier() for part in where.split("."))


def app_parts(value: str) -> AppParts:
    """Take apart "module:callable", "module:factory()", "file.py", "file.wsgi", "file.py:name".

    "mysite.wsgi:application" is a module, as everywhere; "mysite.wsgi" and "./mysite.wsgi:name"
    are files. Raises ValueError for anything else.
    """
    where, colon, target = value.rpartition(":") if ":" in value else (value, "", "")
    is_file = where.endswith(APP_FILES) and not (colon and is_module_like(where))
    if not is_file and not _dotted(where):
        raise ValueError(f"{shown(value)} is neither module:callable nor a .py or .wsgi file")
    if not is_file and not colon:
        raise ValueError(
            f"{shown(value)} names a module; say what to call in it: "
            f"{shown(f'{value}:application')}"
        )
    if not _dotted(target.removesuffix("()")) and colon:
        raise ValueError(
            f"{shown(target)} is nothing to call: after the colon comes the name of the app, "
            "or of a factory followed by ()"
        )
    name, factory = target.removesuffix("()"), target.endswith("()")
    if is_file:
        return AppParts(relative(where), None, name, factory)
    return AppParts(None, where, name, factory)


def app(value: str) -> str:
    return str(app_parts(value))


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def python(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError('write it in quotes, such as "3.11": as a number, 3.10 would be 3.1')
    if not isinstance(value, str) or not PYTHON.fullmatch(value):
        raise ValueError('must be a version of Python 3, such as "3.11" or "3.11.2"')
    return value


def domain(value: str) -> str:
    """A host name in lower case, in its ASCII form (IDNA), without a dot at its end."""
    given, value = value, value.strip().removesuffix(".")
    if "*" in value:
        raise ValueError(f"{shown(given)} is a wildcard; list each name that the site has")
    if "/" in value:
        raise ValueError(f"{shown(given)} is a URL; give the host name alone")
    if ":" in value or _is_address(value):
        raise ValueError(
            f"{shown(given)} is no host name; addresses belong in [server] listen, ports are "
            "given to `hostel up`"
        )
    ascii_form = value.lower() if value.isascii() else _idna(value)
    labels = ascii_form.split(".")
    if len(ascii_form) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            f"{shown(given)} is no host name: letters, digits and hyphens, up to 63 between dots"
        )
    if labels[-1].isdigit():
        raise ValueError(f"{shown(given)} ends in a number, so programs take it for an address")
    return ascii_form


def _idna(value: str) -> str:
    # The standard library knows IDNA 2003, which makes other names of these few characters than
    # browsers do: better to ask than to host a name that nobody can reach.
    if len(value) > 253 or _IDNA_DIFFERS & set(value):
        raise ValueError(f"{shown(value)}: write this name in its ASCII form, xn--...")
    try:
        return value.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(
            f"{shown(value)} has no ASCII form that is known here; write it as xn--..."
        ) from None


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return False
    return True


def address(value: str) -> str:
    """An IP address in its shortest form, without brackets, port or zone."""
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if "%" in bare or not _is_address(bare):
        raise ValueError(
            f'{shown(value)} is no IP address; "127.0.0.1" and "::1" are this machine, '
            '"0.0.0.0" and "::" every network it is in'
        )
    return str(ipaddress.ip_address(bare))


def relative(value: str, *, whole: bool = False) -> str:
    """A path inside the project, without "./" or a slash at its end; "." only where `whole`."""
    path = PurePosixPath(value)
    if not value or has_control(value):
        raise ValueError(f"{shown(value)} is no path")
    if path.is_absolute() or value.startswith("~"):
        raise ValueError(f"{shown(value)} must be relative to the project's folder")
    if ".." in path.parts:
        raise ValueError(f'{shown(value)} must lie in the project\'s folder, so without ".."')
    if not path.parts and not whole:
        raise ValueError(f"{shown(value)} is the whole project; name a folder in it")
    if path.parts and path.parts[0] in OWN_FOLDERS:
        raise ValueError(f"{shown(value)} lies in a folder that no site can use")
    return str(path)


def folder(value: str) -> str:
    return relative(value, whole=True)


def kept(values: Sequence[str]) -> tuple[str, ...]:
    """Paths of which none lies in another: each is put in its place once."""
    for value in values:
        for other in values:
            if PurePosixPath(other) in PurePosixPath(value).parents:
                raise ValueError(f"{shown(value)} lies in {shown(other)}, which is kept already")
    return distinct(values)


def distinct(values: Sequence[str]) -> tuple[str, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{shown(value)} is there twice")
    return tuple(values)


def url_prefix(value: str) -> str:
    """ "/static": a path of plain segments as the app would see it decoded, no slash at its end."""
    if value.strip("/") == "":
        raise ValueError(f'{shown(value)} would hide the whole app; give a prefix like "/static"')
    if not value.startswith("/") or value.endswith("/"):
        raise ValueError(
            f"{shown(value)} must start with a slash and not end in one: "
            f"{shown('/' + value.strip('/'))}"
        )
    if has_control(value) or set(value) & set("?#%\\"):
        raise ValueError(
            f"{shown(value)} holds what no prefix can: ? # % \\ or a control character"
        )
    if any(segment in ("", ".", "..") for segment in value[1:].split("/")):
        raise ValueError(f'{shown(value)} must not hold "//", "." or ".." as a part')
    if f"{value}/".startswith(f"{OWN_URLS}/"):
        raise ValueError(f"{shown(value)} is where Hostel answers its own probes; use another")
    return value


def env_name(value: str) -> str:
    if not value or "=" in value or "\0" in value:
        raise ValueError('cannot be the name of a variable: it is empty, or holds "=" or NUL')
    return value


def env_value(value: object) -> str:
    # What the value is stays out of the message: it may be a secret.
    if not isinstance(value, str):
        raise ValueError("a variable is always text: write it as a string, in quotes")
    if "\0" in value:
        raise ValueError("holds a NUL character, which no variable can")
    return value


def extension(value: str) -> str:
    if not EXTENSION.fullmatch(value):
        raise ValueError(f"{shown(value)} is no name of a PostgreSQL extension")
    return value


def request_path(value: str) -> str:
    """What the health probe asks for: "/healthz", a query if need be; percent-encoded."""
    good = value.startswith("/") and value.isascii() and value.isprintable()
    if not good or set(value) & set(' #"<>\\') or len(value) > 2000:
        raise ValueError(
            f'{shown(value)} is no path to ask for: it starts with "/", anything beyond plain '
            "characters is percent-encoded"
        )
    return value
