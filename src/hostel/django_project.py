"""A Django project seen from outside: its WSGI app and its static files.

Reads `manage.py` and the settings with `ast`; never imports them. Only what is written plainly
is understood; the rest is left for the site file to say.
"""

from __future__ import annotations

import ast
import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MOST = 1_000_000
"""Bytes of a source file that is still looked at."""

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*[,\]]\s*=?\s*["']([\w.]+)["']""")
_SQLITE = re.compile(r"""BASE_DIR\s*[/,]\s*["']([\w.-]+\.(?:sqlite3?|db))["']""")
_WSGI_LINE = re.compile(r"""^WSGI_APPLICATION\s*=\s*["']([\w.]+)["']""", re.M)


@dataclass(frozen=True)
class Django:
    """`app` is None where there is an asgi.py alone; `static` maps URL prefix to folder.

    `manage` is the path of manage.py in the project, `databases` those of its SQLite files.
    """

    app: str | None
    because: str
    manage: str
    static: Mapping[str, str] = field(default_factory=dict)
    databases: tuple[str, ...] = ()


def look(root: Path, base: Path) -> Django | None:
    """The Django project whose manage.py lies in `base`; paths are given relative to `root`."""
    manage = text_of(base / "manage.py")
    if "DJANGO_SETTINGS_MODULE" not in manage and "django" not in manage:
        return None
    match = _SETTINGS.search(manage)
    script = str((base / "manage.py").relative_to(root))
    settings = settings_of(base)
    static = _static(root, settings)
    databases = _databases(root, base, settings)
    for file in settings:
        declared = _WSGI_LINE.search(text_of(file))
        if declared and "." in declared[1]:
            module, _, name = declared[1].rpartition(".")
            because = f"{file.relative_to(root)} says WSGI_APPLICATION = {declared[1]!r}"
            return Django(f"{module}:{name}", because, script, static, databases)
    for file in _named(base, match[1] if match else "", "wsgi.py"):
        module = ".".join(file.relative_to(base).with_suffix("").parts)
        because = f"{file.relative_to(root)} is Django's"
        return Django(f"{module}:application", because, script, static, databases)
    for file in _named(base, match[1] if match else "", "asgi.py"):
        return Django(None, str(file.relative_to(root)), script)
    return None


def settings_of(base: Path) -> list[Path]:
    """The settings of the Django project whose manage.py lies in `base`; none of another kind."""
    match = _SETTINGS.search(text_of(base / "manage.py"))
    return [*_settings_files(base, match[1])] if match else []


def _databases(root: Path, base: Path, settings: Sequence[Path]) -> tuple[str, ...]:
    """SQLite files that the settings put beside manage.py, as startproject writes them."""
    names = [name for file in settings for name in _SQLITE.findall(text_of(file))]
    return tuple(dict.fromkeys(str((base / name).relative_to(root)) for name in names))


def text_of(path: Path) -> str:
    """The file's text; empty where there is none, it cannot be read or is too large."""
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size <= MOST:
            return path.read_bytes().decode(errors="replace")
    return ""


def _settings_files(base: Path, module: str) -> Iterator[Path]:
    """The settings first, then what they are likely to import: base.py and the like beside them."""
    path = base.joinpath(*module.split("."))
    chosen = path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")
    beside = path if path.is_dir() else path.parent
    names = [chosen, *(beside / f"{name}.py" for name in ("base", "common", "defaults"))]
    yield from (name for name in dict.fromkeys(names) if name.is_file())


def _named(base: Path, settings: str, name: str) -> list[Path]:
    """Files of that name, those of the package that holds the settings first."""
    own = base / settings.partition(".")[0] / name
    with contextlib.suppress(OSError):
        others = sorted([*base.glob(f"*/{name}"), *base.glob(f"*/*/{name}")])
        files = [own, *(file for file in others if _importable(file.relative_to(base)))]
        return [file for file in dict.fromkeys(files) if file.is_file()]
    return []


def _importable(path: Path) -> bool:
    return all(part.isidentifier() for part in path.with_suffix("").parts)


def _static(root: Path, settings: list[Path]) -> dict[str, str]:
    """Where the project collects its static files, if its settings say so in plain words."""
    known: dict[str, object] = {}
    for file in reversed(settings):
        known |= _constants(file)
    url, folder = known.get("STATIC_URL"), known.get("STATIC_ROOT")
    apps = any("django.contrib.staticfiles" in text_of(file) for file in settings)
    if not apps or not isinstance(url, str) or "://" in url or not url.strip("/"):
        return {}
    if isinstance(folder, str):
        folder = PurePosixPath(root) / folder
    if not isinstance(folder, PurePosixPath) or not folder.is_relative_to(root):
        return {}
    inside = folder.relative_to(root)
    return {f"/{url.strip('/')}": str(inside)} if inside.parts else {}


def _constants(file: Path) -> dict[str, object]:
    """Top-level names of a settings file whose values are plain text or paths beside the file."""
    known: dict[str, object] = {"__file__": str(file)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text_of(file)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            with contextlib.suppress(RecursionError):
                known[statement.targets[0].id] = _value(statement.value, known)
    return known


def _value(node: ast.expr, known: Mapping[str, object]) -> object:
    """Text, a PurePosixPath, or None for whatever is not understood."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        inner = _value(node.value, known)
        parent = node.attr == "parent" and isinstance(inner, PurePosixPath)
        return inner.parent if parent and isinstance(inner, PurePosixPath) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _value(node.left, known), _value(node.right, known)
        return left / right if isinstance(left, PurePosixPath) and isinstance(right, str) else None
    return _called(node, known) if isinstance(node, ast.Call) else None


def _called(call: ast.Call, known: Mapping[str, object]) -> object:
    """Path(...), str(...), .resolve() and the functions of os.path that settings use."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    if name in ("resolve", "absolute") and isinstance(call.func, ast.Attribute):
        return _value(call.func.value, known)
    values = [_value(argument, known) for argument in call.args]
    texts = [value for value in values if isinstance(value, str | PurePosixPath)]
    if not texts or len(texts) != len(values):
        return None
    if name in ("Path", "str", "abspath", "realpath", "join"):
        return PurePosixPath(*texts)
    return PurePosixPath(texts[0]).parent if name == "dirname" else None
