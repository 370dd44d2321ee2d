"""What can be worked out about a project that does not say it: above all, which app to serve.

Reads files and never imports them, decides by convention, and says why. Changes nothing; what
Python source binds is `hostel.pysource`, what Django says is `hostel.django_project`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hostel import django_project, pysource
from hostel.errors import UsageError
from hostel.pysource import Binding
from hostel.site_values import AppParts, app_parts, is_module_like

MODULES = ("application", "wsgi", "app", "main")
"""Names of modules that hold an app by convention, the most telling first."""

MOST_FILES = 200
_NOT_APPS = frozenset(
    (
        "manage",
        "setup",
        "conftest",
        "noxfile",
        "tasks",
        "fabfile",
        "gunicorn",
        "gunicorn_conf",
        "hostel",
    )
)
_NOT_PACKAGES = frozenset(
    (
        "tests",
        "test",
        "docs",
        "doc",
        "examples",
        "node_modules",
        "venv",
        "env",
        "build",
        "dist",
        "migrations",
        "scripts",
    )
)


NO_STATIC_ROOT = (
    "Django's static files, those of its admin too, are not served: set "
    'STATIC_ROOT = BASE_DIR / "staticfiles" in the settings, and they are collected and served.'
)


@dataclass(frozen=True)
class Guess:
    """The app as the site file would say it, and why: `because` completes "... because".

    `static` (URL prefix -> folder) and `build` (arguments of a command) are what the framework
    needs beside it, `keep` the data it writes; empty where that is not plain to see.
    """

    app: str
    because: str
    static: Mapping[str, str] = field(default_factory=dict)
    build: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class _Candidate:
    """A place where an app may be: `dotted` is its module, or None for a file of another kind."""

    file: Path
    dotted: str | None


def import_path(root: Path) -> tuple[str, ...]:
    """Folders to import the project from: `src` first where the project has that layout."""
    src = root / "src"
    layout = src.is_dir() and not (src / "__init__.py").exists()
    return ("src", ".") if layout else (".",)


def detect(root: Path) -> Guess:
    """The app of the project in `root`.

    Raises UsageError where there is none, where several are as likely, or where it is ASGI.
    """
    bases = [root / part for part in import_path(root)]
    for base in bases:
        django = django_project.look(root, base)
        if django is not None:
            return _django(django)
    seen: list[str] = []
    found_asgi: list[UsageError] = []
    for base in bases:
        tiers = ((_by_name(base), False), (_packaged(base), False), (_any(base), True))
        for tier, certain in tiers:
            matches: dict[str, Guess] = {}
            for candidate in tier:
                file = candidate.file.relative_to(root)
                seen.append(str(file))
                found = _bindings(candidate.file)
                chosen, other = pysource.choose(found, certain=certain), pysource.asgi(found)
                if chosen is not None:
                    matches.setdefault(_unit(candidate, base), _guess(file, candidate, chosen))
                elif other is not None:
                    found_asgi.append(_is_asgi(file, other))
            if matches:
                return _only(root, matches)
    raise found_asgi[0] if found_asgi else _nothing(root, seen)


def settle(root: Path, app: str, path: Sequence[str]) -> tuple[str, str]:
    """An app that was named, made callable: (what to call, in full, and why that was chosen).

    The reason is empty where nothing had to be chosen. Raises UsageError for a file that is
    missing and for what is known to be ASGI.
    """
    parts = app_parts(app)
    if parts.module is None:
        return _file_app(root, parts)
    if is_module_like(parts.module) and (root / parts.module).is_file():
        return _file_app(root, replace(parts, file=parts.module, module=None))
    for folder in path:
        stem = root.joinpath(folder, *parts.module.split("."))
        for file in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
            if file.is_file():
                bound = _bindings(file).get(parts.name)
                if bound is not None and bound.kind == "asgi" and not parts.factory:
                    raise _is_asgi(file.relative_to(root), bound)
                return app, ""
    return app, ""


def _file_app(root: Path, parts: AppParts) -> tuple[str, str]:
    assert parts.file is not None
    file = root / parts.file
    if not file.is_file():
        problem = "is a folder" if file.is_dir() else "does not exist"
        raise UsageError(
            f"looking for the app {parts.file}",
            f"{file} {problem}",
            "Correct app in the site file: the path is relative to the project's folder.",
        )
    found = _bindings(file)
    chosen = found.get(parts.name) if parts.name else pysource.choose(found)
    other = chosen if parts.name else pysource.asgi(found)
    if other is not None and other.kind == "asgi" and (parts.name or chosen is None):
        raise _is_asgi(Path(parts.file), other)
    module = _module_in_package(root, parts.file)
    where = replace(parts, file=None, module=module) if module else parts
    if parts.name:
        return str(where), ""
    if chosen is None:
        return str(replace(where, name="application")), ""
    settled = replace(where, name=chosen.name, factory=chosen.kind == "factory")
    return str(settled), f"{chosen.name} in {parts.file} is {chosen.what}"


def _bindings(file: Path) -> Mapping[str, Binding]:
    return pysource.bindings(django_project.text_of(file).encode())


def _module_in_package(root: Path, where: str) -> str | None:
    """The dotted name of a file in a package, whose relative imports need it."""
    file = Path(where)
    if file.suffix != ".py" or not (root / file.parent / "__init__.py").is_file():
        return None
    parts = file.with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" and import_path(root)[0] == "src" else parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


# -- where apps are looked for ------------------------------------------------------------------


def _by_name(base: Path) -> Iterator[_Candidate]:
    for name in MODULES:
        if (base / f"{name}.py").is_file():
            yield _Candidate(base / f"{name}.py", name)
    for file in _listed(base, "*.wsgi"):
        yield _Candidate(file, None)


def _packaged(base: Path) -> Iterator[_Candidate]:
    for init in _listed(base, "*/__init__.py"):
        package = init.parent.name
        if package.isidentifier() and package not in _NOT_PACKAGES:
            yield _Candidate(init, package)
            for name in MODULES:
                if (init.parent / f"{name}.py").is_file():
                    yield _Candidate(init.parent / f"{name}.py", f"{package}.{name}")


def _any(base: Path) -> Iterator[_Candidate]:
    for file in _listed(base, "*.py"):
        stem = file.stem
        if stem in MODULES or stem in _NOT_APPS or stem.startswith(("test_", ".")):
            continue
        yield _Candidate(file, stem if stem.isidentifier() else None)


def _listed(base: Path, pattern: str) -> list[Path]:
    try:
        files = sorted(file for file in base.glob(pattern) if file.is_file())
    except OSError:
        return []
    return [file for file in files if _plain(file.name) and _plain(file.parent.name)][:MOST_FILES]


def _plain(name: str) -> bool:
    """Whether the site file could say the name."""
    return name.isprintable() and not re.search(r"[:\\]", name)


def _unit(candidate: _Candidate, base: Path) -> str:
    """What counts as one: a package with all its modules, all conventional files, or a file."""
    parent = candidate.file.parent
    if parent != base:
        return parent.name
    return candidate.file.stem if candidate.file.stem not in MODULES else ""


# -- what comes of it ---------------------------------------------------------------------------


def _guess(file: Path, candidate: _Candidate, chosen: Binding) -> Guess:
    dotted = candidate.dotted
    parts = AppParts(
        None if dotted else str(file), dotted, chosen.name, factory=chosen.kind == "factory"
    )
    return Guess(str(parts), f"{chosen.name} in {file} is {chosen.what}")


def _only(root: Path, matches: Mapping[str, Guess]) -> Guess:
    own = re.sub(r"\W", "_", root.name.lower())
    for unit in ("", own):
        if unit in matches:
            return matches[unit]
    if len(matches) == 1:
        return next(iter(matches.values()))
    apps = [guess.app for guess in matches.values()]
    raise UsageError(
        f"looking for the app in {root}",
        f"{len(apps)} modules hold one",
        f'Say which: app = "{apps[0]}" in hostel.toml, or `hostel up {apps[0]}`.',
        "\n".join(f"{guess.app}  ({guess.because})" for guess in matches.values()),
    )


def _django(django: django_project.Django) -> Guess:
    if django.app is None:
        raise _is_asgi(Path(django.because), Binding("application", "asgi", "Django's"), True)
    collect = ("python", django.manage, "collectstatic", "--noinput")
    build = collect if django.static else ()
    advice = "" if django.static else NO_STATIC_ROOT
    return Guess(django.app, django.because, django.static, build, django.databases, advice)


def _is_asgi(file: Path, bound: Binding, django: bool = False) -> UsageError:
    doing = f"looking for the app in {file}"
    happened = f"{bound.name} is an ASGI app ({bound.what}); Hostel hosts WSGI apps"
    if django or "get_asgi_application" in bound.what:
        return UsageError(
            doing,
            happened,
            "Django speaks WSGI as well: use its wsgi.py, with these lines in it.",
            "from django.core.wsgi import get_wsgi_application\n"
            "application = get_wsgi_application()",
        )
    module = file.stem if file.stem != "__init__" else file.parent.name
    return UsageError(
        doing,
        happened,
        "Wrap it with a2wsgi (add it to the requirements): a file wsgi.py with these lines.",
        f"from a2wsgi import ASGIMiddleware; from {module} import {bound.name}\n"
        f"application = ASGIMiddleware({bound.name})",
    )


def _nothing(root: Path, seen: Sequence[str]) -> UsageError:
    names = ", ".join(f"{name}.py" for name in MODULES)
    folders = " and ".join("." if part == "." else f"{part}/" for part in import_path(root))
    looked = [
        f"In {folders} it looked for Django's manage.py; for {names} and *.wsgi, also in packages,",
        "that hold application, app, Flask(...) or the like, or create_app().",
        f"It looked into: {', '.join(seen[:20]) or 'no file, there is none of these'}",
    ]
    return UsageError(
        f"looking for the app in {root}",
        "found no WSGI app",
        'Say where it is: app = "module:callable" in hostel.toml, or `hostel up module:callable`.',
        "\n".join(looked),
    )
