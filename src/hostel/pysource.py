"""What a Python file binds at its top level, and which of that could be an app. Pure.

Reads source text with `ast` and never imports it: looking at a project runs none of its code.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["wsgi", "asgi", "factory", "object", "other"]
"""`wsgi` and `asgi` are certain, `object` may be an app, `other` cannot."""

ASGI = frozenset(
    (
        "FastAPI",
        "Starlette",
        "Quart",
        "Litestar",
        "Sanic",
        "BlackSheep",
        "ASGIApp",
        "ProtocolTypeRouter",
        "WsgiToAsgi",
        "WSGIMiddleware",
        "get_asgi_application",
        "AsyncApp",
    )
)
WSGI = frozenset(
    (
        "Flask",
        "Bottle",
        "APIFlask",
        "OpenAPI",
        "Eve",
        "get_wsgi_application",
        "make_wsgi_app",
        "ASGIMiddleware",
        "DispatcherMiddleware",
        "SharedDataMiddleware",
        "ProxyFix",
        "WhiteNoise",
    )
)
OTHER = frozenset(
    ("Typer", "Celery", "QApplication", "QGuiApplication", "Tk", "Huey", "ArgumentParser")
)
FACTORIES = ("create_app", "make_app", "create_application", "make_application")
NAMES = ("application", "app")


@dataclass(frozen=True)
class Binding:
    """A name at the top level of a module; `what` completes "... is", such as "Flask(...)"."""

    name: str
    kind: Kind
    what: str


def bindings(source: bytes) -> Mapping[str, Binding]:
    """All top-level names that could matter. Code that does not parse is read line by line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _by_line(source.decode(errors="replace"))
    reader = _Reader()
    try:
        for statement in _flat(tree.body):
            reader.read(statement)
    except RecursionError:
        return _by_line(source.decode(errors="replace"))
    return reader.found


def choose(found: Mapping[str, Binding], *, certain: bool = False) -> Binding | None:
    """The app among the names of a module, its `name` ready to be called.

    `certain` asks for evidence beyond the name of the binding. None where there is no WSGI app.
    """
    usable = {name: bound for name, bound in found.items() if bound.kind in ("wsgi", "object")}
    for name in NAMES:
        if name in usable and (not certain or usable[name].kind == "wsgi"):
            return usable[name]
    for bound in usable.values():
        if bound.kind == "wsgi":
            return bound
    if certain:
        return None
    return next((found[name] for name in FACTORIES if _is(found, name, "factory")), None)


def asgi(found: Mapping[str, Binding]) -> Binding | None:
    """The ASGI app among the names of a module, the conventional names first."""
    names = [name for name in (*NAMES, *found) if _is(found, name, "asgi")]
    return found[names[0]] if names else None


def _is(found: Mapping[str, Binding], name: str, kind: Kind) -> bool:
    return name in found and found[name].kind == kind


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that an import runs, those in `if` and `try` included."""
    for statement in body:
        if isinstance(statement, ast.If):
            if not _main_only(statement.test):
                yield from _flat(statement.body)
            yield from _flat(statement.orelse)
        elif isinstance(statement, ast.With):
            yield from _flat(statement.body)
        elif isinstance(statement, ast.Try):
            yield from _flat([*statement.body, *statement.orelse, *statement.finalbody])
        else:
            yield statement


def _main_only(test: ast.expr) -> bool:
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(test) if isinstance(node, ast.Attribute)}
    return bool(names & {"__name__", "TYPE_CHECKING"} or "TYPE_CHECKING" in attributes)


class _Reader:
    """Reads statements in order, as the interpreter would; a later binding replaces an earlier."""

    def __init__(self) -> None:
        self.found: dict[str, Binding] = {}
        self.imported: dict[str, str] = {}
        self.async_classes: set[str] = set()

    def read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self._import(statement)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    self._assign(target.id, statement.value)
        elif isinstance(statement, ast.AnnAssign):
            if isinstance(statement.target, ast.Name) and statement.value is not None:
                self._assign(statement.target.id, statement.value, statement.annotation)
        elif isinstance(statement, ast.FunctionDef):
            self._bind(statement.name, *_function(statement))
        elif isinstance(statement, ast.AsyncFunctionDef):
            named = statement.name in NAMES or len(statement.args.args) == 3
            self._bind(statement.name, "asgi" if named else "other", "an async function")
        elif isinstance(statement, ast.ClassDef):
            self._class(statement)

    def _bind(self, name: str, kind: Kind, what: str) -> None:
        self.found.pop(name, None)
        self.found[name] = Binding(name, kind, what)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for alias in statement.names:
            name = alias.asname or alias.name.partition(".")[0]
            if isinstance(statement, ast.Import):
                self.imported[name] = alias.name if alias.asname else name
                continue
            origin = f"{'.' * statement.level}{statement.module or ''}"
            self.imported[name] = f"{origin}.{alias.name}"
            if name in NAMES and statement.module:
                self._bind(name, "object", f"imported from {origin}")
            elif name in FACTORIES:
                self._bind(name, "factory", f"imported from {origin}")

    def _class(self, statement: ast.ClassDef) -> None:
        methods = [node for node in statement.body if isinstance(node, ast.AsyncFunctionDef)]
        if any(method.name == "__call__" for method in methods):
            self.async_classes.add(statement.name)
            return
        self._bind(statement.name, "object" if statement.name in NAMES else "other", "a class")

    def _assign(self, name: str, value: ast.expr, annotation: ast.expr | None = None) -> None:
        if annotation is not None and self._kind(self._dotted(annotation)) == "asgi":
            self._bind(name, "asgi", self._dotted(annotation).rpartition(".")[2])
        elif isinstance(value, ast.Name) and value.id in self.found:
            old = self.found[value.id]
            self._bind(name, old.kind, old.what)
        elif isinstance(value, ast.Call):
            self._call(name, value)
        else:
            maybe = isinstance(value, ast.Name | ast.Attribute | ast.Lambda | ast.Subscript)
            self._bind(name, "object" if maybe else "other", "assigned")

    def _call(self, name: str, call: ast.Call) -> None:
        dotted = self._dotted(call.func)
        made = dotted.rpartition(".")[2]
        self._bind(name, self._kind(dotted), f"{made or '...'}(...)")
        if made == "Dash":
            # Dash is no WSGI app itself; the Flask app in it is.
            self.found[name] = replace(self.found[name], name=f"{name}.server", kind="wsgi")

    def _kind(self, dotted: str) -> Kind:
        package, _, made = dotted.rpartition(".")
        if made in ASGI or dotted in self.async_classes or dotted == "falcon.asgi.App":
            return "asgi"
        if made in WSGI or dotted in ("falcon.App", "falcon.API", "falcon.app.App"):
            return "wsgi"
        return "other" if made in OTHER or package == "logging" else "object"

    def _dotted(self, node: ast.expr) -> str:
        """The dotted name of an expression, through the file's imports; empty where it has none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        parts.append(self.imported.get(node.id, node.id))
        return ".".join(reversed(parts))


def _function(function: ast.FunctionDef) -> tuple[Kind, str]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    needed += sum(default is None for default in arguments.kw_defaults)
    if function.name in FACTORIES:
        return ("factory", "a function") if needed == 0 else ("other", "a function with arguments")
    if function.name not in NAMES:
        conventional = [argument.arg for argument in positional] == ["environ", "start_response"]
        return ("wsgi" if conventional else "other"), "a function"
    fits = needed == 2 or arguments.vararg is not None or bool(function.decorator_list)
    return ("wsgi" if fits else "other"), "a function"


_LINES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"(\w+)\s*=\s*(?:\w+\.)*(FastAPI|Starlette|Quart|get_asgi_application)\("), "asgi"),
    (re.compile(r"(\w+)\s*=\s*(?:\w+\.)*(Flask|Bottle|get_wsgi_application)\("), "wsgi"),
    (re.compile(r"(application|app)\s*=[^=]"), "object"),
    (re.compile(r"(?:def|class)\s+(application|app)\b"), "object"),
    (re.compile(r"from\s+[\w.]+\s+import\s.*\b(application|app)\s*$"), "object"),
    (re.compile(rf"def\s+({'|'.join(FACTORIES)})\s*\("), "factory"),
)


def _by_line(text: str) -> dict[str, Binding]:
    """What source that is no Python of today (Python 2, an error) most likely binds.

    The app is chosen all the same, so that the error shown later is the real one.
    """
    found: dict[str, Binding] = {}
    for line in text.splitlines():
        for pattern, kind in _LINES:
            match = pattern.match(line)
            if match:
                found[match[1]] = Binding(match[1], kind, "assigned, though the file has an error")
                break
    return found
