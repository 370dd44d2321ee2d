"""Finds the app that a name such as "module:callable" means, and imports it.

Stands alone, and lies beside the wsgi.py that loads it. It is in the memory of every process of
every site: what only some apps need is imported where they need it.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from pathlib import Path
    from types import CodeType, ModuleType
    from typing import Any

USUAL_NAMES = ("application", "app")
"""What the callable is called where nobody says."""


class Unfit(Exception):
    """The app cannot be had, for a reason that is no error inside the app itself."""

    def __init__(self, problem: str, message: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problem = problem
        self.message = message
        self.candidates = candidates


class FreshLoader(importlib.machinery.SourceFileLoader):
    """Always compiles the source: an app.wsgi would share the cached bytecode of an app.py."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def first(*folders: str) -> None:
    """Put these folders at the beginning of sys.path, in this order."""
    sys.path[:] = [*folders, *(one for one in sys.path if one not in folders)]


def load(app: str, root: str | Path) -> Any:
    """The object that "module:callable", "module:factory()" or "file.py:callable" names."""
    where, _, expression = app.partition(":")
    # "mysite.wsgi:application" is a module; a file of that ending is written "./mysite.wsgi".
    is_file = where.endswith(".py") or "/" in where or (where.endswith(".wsgi") and not expression)
    module = load_file(root, where) if is_file else load_module(where)
    if expression:
        return evaluate(expression, module)
    for name in USUAL_NAMES:
        if hasattr(module, name):
            return getattr(module, name)
    raise Unfit(
        "no-callable",
        f"{_origin(module)} has neither {' nor '.join(USUAL_NAMES)}",
        names_in(module),
    )


def load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only if it is this module that is missing, not one that it imports.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise Unfit("no-app-module", f'there is no module "{error.name}"') from None
    except (ValueError, TypeError) as error:
        raise Unfit("no-app-module", f'"{name}" cannot be imported: {error}') from None


def load_file(root: str | Path, where: str) -> ModuleType:
    """Import a file under the name it would have for others, so that it is loaded only once."""
    import importlib.util

    # pathlib would stay in memory: 0.8 MB in each process of each site that names a file.
    path = os.path.normpath(os.path.join(root, where))  # noqa: PTH118
    base, file = os.path.split(path)
    if not os.path.isfile(path):  # noqa: PTH113
        raise Unfit("no-app-file", f"there is no file {file} in {base}")
    stem, suffix = os.path.splitext(file)  # noqa: PTH122
    parts = [stem]
    while _is_package(base):
        base, folder = os.path.split(base)
        parts.insert(0, folder)
    if parts[-1] == "__init__":
        parts.pop()
    if suffix == ".py" and parts and all(part.isidentifier() for part in parts):
        if base not in sys.path:
            first(base)
        name = ".".join(parts)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin and _same(spec.origin, path):
            return importlib.import_module(name)
    return _load_unnamed(path, stem)


def _is_package(folder: str) -> bool:
    has_init = os.path.exists(os.path.join(folder, "__init__.py"))  # noqa: PTH110, PTH118
    return has_init and os.path.basename(folder).isidentifier()  # noqa: PTH119


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _load_unnamed(path: str, stem: str) -> ModuleType:
    """A file that no import finds: a .wsgi file, or one named like a module of Python's own."""
    import importlib.util

    name = "hostel_site_" + "".join(char if char.isalnum() else "_" for char in stem)
    loader = FreshLoader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def evaluate(expression: str, module: ModuleType) -> Any:
    """A name, an attribute of one, or a call of either with literal arguments."""
    if expression.isidentifier():
        return _member(module, expression)
    import ast

    try:
        node = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise Unfit("bad-name", f'"{expression}" is no name of a callable') from None
    if not isinstance(node, ast.Call):
        return _attribute(node, expression, module)
    try:
        arguments = [ast.literal_eval(one) for one in node.args]
        named = {one.arg or "": ast.literal_eval(one.value) for one in node.keywords}
    except ValueError:
        raise Unfit("bad-name", f'"{expression}": only literal arguments can be given') from None
    factory = _attribute(node.func, expression, module)
    if not callable(factory):
        raise Unfit("not-callable", f"{ast.unparse(node.func)} is no function: {kind(factory)}")
    return factory(*arguments, **named)


def _attribute(node: ast.expr, expression: str, module: ModuleType) -> Any:
    import ast

    if isinstance(node, ast.Name):
        owner: Any = module
        name = node.id
    elif isinstance(node, ast.Attribute):
        owner = _attribute(node.value, expression, module)
        name = node.attr
    else:
        raise Unfit("bad-name", f'"{expression}" is no name of a callable')
    return _member(owner, name)


def _member(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        module = isinstance(owner, type(sys))
        where = _origin(owner) if module else kind(owner)
        raise Unfit("no-callable", f'{where} has no "{name}"', names_in(owner)) from None


def names_in(owner: Any) -> tuple[str, ...]:
    """Public names that could be an app or a factory: callable, and made here rather than
    imported classes of a framework."""
    found = []
    for name, value in vars(owner).items() if hasattr(owner, "__dict__") else ():
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            continue
        home = getattr(value, "__module__", None)
        if not hasattr(value, "__name__") or home == getattr(owner, "__name__", None):
            found.append(name)
    return tuple(found)


def kind(value: Any) -> str:
    """The type of a value, with its module where that says something."""
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def _origin(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return f"{module.__name__} ({file})" if file else f"{module.__name__}, a folder of no code,"
