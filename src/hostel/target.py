"""TARGET, the argument of `hostel up`: which project, which site file, which app.

Looks at names and kinds of files only (and whether pyproject.toml has a `[tool.hostel]`); what
the site file says is `hostel.sitefile`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from hostel.errors import UsageError

SITE_FILE = "hostel.toml"
PROJECT_FILE = "pyproject.toml"
TOOL = ("tool", "hostel")
_APPS = (".py", ".wsgi")


@dataclass(frozen=True)
class Target:
    """A project's folder (absolute), its site file if there is one, and the app if it was named.

    `table` is where in the site file the site is: () for hostel.toml, ("tool", "hostel") for
    pyproject.toml. `app` is "file.py", "file.py:callable" or "module:callable", relative to
    `root`; it overrides the site file's.
    """

    root: Path
    site_file: Path | None = None
    table: tuple[str, ...] = ()
    app: str | None = None


def resolve(text: str = ".", cwd: Path | None = None) -> Target:
    """Find what `text` names, relative to `cwd` (default: the working directory).

    Raises UsageError, naming what was looked for, where nothing is there.
    """
    if not text or "\0" in text:
        raise _missing(text, "no folder, file or app has that name")
    base = Path.cwd() if cwd is None else cwd
    path = base / text
    try:
        if path.is_dir():
            return _folder(path.resolve())
        if path.exists():
            return _file(path.resolve(), text)
        return _app(base, text)
    except (OSError, RuntimeError) as error:
        said = error.strerror if isinstance(error, OSError) else "a symbolic link leads to itself"
        raise _missing(text, str(said)) from error


def _folder(root: Path, app: str | None = None) -> Target:
    site_file, project_file = root / SITE_FILE, root / PROJECT_FILE
    tool = project_file.is_file() and _has_table(project_file)
    if site_file.exists() and tool:
        raise UsageError(
            f"looking for the site file in {root}",
            f"there are two: {SITE_FILE}, and [tool.hostel] in {PROJECT_FILE}",
            "Keep one of them.",
        )
    if site_file.exists():
        return Target(root, site_file, (), app)
    return Target(root, project_file, TOOL, app) if tool else Target(root, app=app)


def _file(path: Path, text: str) -> Target:
    if path.name == PROJECT_FILE:
        if not _has_table(path):
            raise UsageError(
                f"reading {path}",
                "it has no table [tool.hostel]",
                f"Add one, or write a {SITE_FILE} beside it, or name the folder instead.",
            )
        return Target(path.parent, path, TOOL)
    if path.suffix == ".toml":
        return Target(path.parent, path)
    if path.suffix in _APPS:
        return _app_file(path)
    raise _missing(text, "it is neither a folder, nor a site file (.toml), nor an app (.py, .wsgi)")


def _app_file(path: Path, callable_name: str = "") -> Target:
    # A file in a package is imported as part of it, from the folder that holds the package.
    root = path.parent
    while path.suffix == ".py" and (root / "__init__.py").is_file() and root != root.parent:
        root = root.parent
    where = str(path.relative_to(root))
    return _folder(root, f"{where}:{callable_name}" if callable_name else where)


def _app(base: Path, text: str) -> Target:
    """`module:callable` or `file.py:callable`; the module may come from a requirement."""
    where, colon, name = text.rpartition(":")
    if not colon:
        raise _missing(text, "there is no such folder or file", _advice(base, text))
    if where.endswith(_APPS) and (base / where).is_file():
        return _app_file((base / where).resolve(), name)
    module = all(part.isidentifier() for part in where.split("."))
    if where.endswith(_APPS) and not (module and where.endswith(".wsgi")):
        raise _missing(text, f"there is no file {base / where}")
    if not name or not module:
        raise _missing(text, "it is neither a folder, nor a file, nor module:callable")
    return _folder(base.resolve(), text)


def _advice(base: Path, text: str) -> str:
    module = text.replace(".", "/")
    if (base / f"{module}.py").is_file() or (base / module / "__init__.py").is_file():
        return f"To host that module, say what to call in it: `hostel up {text}:application`."
    return ""


def _missing(text: str, happened: str, remedy: str = "") -> UsageError:
    return UsageError(
        f"looking for {text!r}",
        happened,
        remedy
        or f"Name a folder, its {SITE_FILE}, a .py or .wsgi file, or module:callable; "
        "without any it is the folder you are in.",
    )


def _has_table(path: Path) -> bool:
    """Whether it has a `[tool.hostel]`; a file that is no TOML is looked into as text."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    try:
        tool = tomllib.loads(data.decode()).get("tool")
    except (ValueError, RecursionError):
        # Its syntax error is reported when the file is read as a site file, if it seems to be one.
        return b"[tool.hostel" in data
    return isinstance(tool, dict) and "hostel" in tool
