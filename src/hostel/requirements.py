"""What a project says it needs, read from the files Python projects keep it in.

Reads files; installs nothing and resolves no versions.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from hostel.errors import UsageError

Kind = Literal["lock", "requirements", "project", "none"]

INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s*)(\S.*)")
EDITABLE = re.compile(r"(?:-e|--editable)(?:\s*=\s*|\s+)(\S.*)")
ITSELF = re.compile(r"\.(?:\[([\w,\s-]*)\])?/?")
LOCAL = re.compile(r"(?:file:(?://)?)?(\.{0,2}/[^\s;]*|\.[^\s;]*)")


@dataclass(frozen=True)
class Needs:
    """What to install and from where; `contents` is everything that decides the result.

    `text` holds the requirements with all includes, without the project itself, whose code comes
    with the release and never from the environment; `itself` says that it was asked for.
    """

    kind: Kind
    file: str = ""
    text: str = ""
    itself: bool = False
    extras: tuple[str, ...] = ()
    project: dict[str, Any] = field(default_factory=dict, compare=False)
    contents: tuple[str, ...] = ()


def needs_of(root: Path) -> Needs:
    """The first of uv.lock, requirements.txt and pyproject.toml that says anything."""
    project = _pyproject(root)
    basis = [_content(root / "pyproject.toml")] if project else []
    if project and (root / "uv.lock").is_file():
        local = _trees(_local_sources(root))
        contents = ("uv.lock", _content(root / "uv.lock"), *basis, *local)
        return Needs("lock", "uv.lock", project=project, contents=contents)
    if (root / "requirements.txt").is_file():
        return _from_requirements(root, project, basis)
    if _declares(project):
        return Needs("project", "pyproject.toml", project=project, contents=tuple(basis))
    return Needs("none", project=project, contents=tuple(basis))


def metadata(project: dict[str, Any]) -> tuple[str, str, dict[str, dict[str, str]]]:
    """Name, version and entry points by group, as far as they are written down; name may be "".

    A version that is computed when the project is built is not known here: it is "0".
    """
    poetry = project.get("tool", {}).get("poetry", {})
    core = project.get("project", {})
    name = core.get("name", poetry.get("name", ""))
    version = core.get("version", poetry.get("version", "0"))
    groups = {"console_scripts": core.get("scripts", poetry.get("scripts", {}))}
    groups |= core.get("entry-points", poetry.get("plugins", {}))
    clean = {
        str(group): {str(key): str(value) for key, value in points.items()}
        for group, points in groups.items()
        if isinstance(points, dict) and points
    }
    return str(name), str(version), clean


def _pyproject(root: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise UsageError(
            "reading pyproject.toml", str(error), "Correct that line, then run this again."
        ) from error


def _declares(project: dict[str, Any]) -> bool:
    """Whether this pyproject.toml is more than a place for the settings of tools."""
    return "project" in project or "poetry" in project.get("tool", {})


def _from_requirements(root: Path, project: dict[str, Any], basis: list[str]) -> Needs:
    text, read = _flat(root / "requirements.txt", root, ())
    lines, extras, itself, local = [], [], False, []
    for line in text.splitlines():
        bare = line.partition(" #")[0].strip()
        editable = EDITABLE.fullmatch(bare)
        target = editable[1] if editable else bare
        if own := ITSELF.fullmatch(target):
            itself = True
            extras += [one.strip() for one in (own[1] or "").split(",") if one.strip()]
            continue
        path = LOCAL.match(target)
        if path is None:
            lines.append(line)
            continue
        # Never editable: the release must not change when the folder it came from does.
        where, bracket, rest = path[1].partition("[")
        local.append(Path(os.path.abspath(root / where)))  # noqa: PTH100 - links stay links
        lines.append(f"{local[-1]}{bracket}{rest}{target[path.end() :]}")
    own_text = [*basis] if itself else []
    name, version, points = metadata(project)
    own_text.append(repr((name, version, points)))
    return Needs(
        "requirements",
        "requirements.txt",
        text="\n".join(lines) + "\n",
        itself=itself,
        extras=tuple(extras),
        project=project,
        contents=("requirements.txt", *read, *own_text, *_trees(local)),
    )


def _flat(path: Path, root: Path, above: tuple[Path, ...]) -> tuple[str, list[str]]:
    """A file of requirements with those it includes; constraints stay apart, by absolute path."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig" if content[:2] != b"\xff\xfe" else "utf-16")
    except OSError as error:
        including = above[-1].name if above else "the project"
        raise UsageError(
            f"reading the requirements in {including}",
            f"{path.name}: {error.strerror}",
            f"Add {path.name}, or remove the line that includes it.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"reading {path.name}", f"it is no UTF-8 text: {error}", "Save it as UTF-8."
        ) from error
    if path in above:
        return "", []
    lines, read = [], [text]
    for line in text.replace("\\\n", " ").splitlines():
        include = INCLUDE.fullmatch(line.partition(" #")[0].strip())
        if include is None or "://" in include[2]:
            lines.append(line)
            continue
        other = Path(path.parent, include[2])
        inner, more = _flat(other, root, (*above, path))
        read += more
        lines.append(inner if include[1] in ("-r", "--requirement") else f"-c {other.resolve()}")
    return "\n".join(lines), read


def _local_sources(root: Path) -> list[Path]:
    """Folders and files outside the lock that it installs from, the project itself left out."""
    try:
        lock = tomllib.loads((root / "uv.lock").read_text())
    except (OSError, ValueError):
        return []
    found = []
    for package in lock.get("package", []):
        source = package.get("source", {})
        for kind in ("editable", "directory", "path"):
            if source.get(kind, ".") != ".":
                found.append(root / str(source[kind]))
    return found


def _trees(paths: list[Path]) -> list[str]:
    """One digest a path: of a file, or of all the code in a folder."""
    digests = []
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        hashed = sha256()
        for file in files:
            if file.is_file() and not {".git", "__pycache__", ".venv"} & set(file.parts):
                hashed.update(f"{file}\0".encode(errors="surrogateescape"))
                hashed.update(sha256(file.read_bytes()).digest())
        digests.append(hashed.hexdigest())
    return digests


def _content(path: Path) -> str:
    return path.read_bytes().decode(errors="surrogateescape")
