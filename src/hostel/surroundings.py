"""What surrounds a site's app: its environment, read from the project and this machine.

Gathers the facts for `hostel.environ`, which decides; changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from hostel.environ import DatabaseAddress, Given, compose, read_dotenv
from hostel.errors import UsageError
from hostel.machine import Machine
from hostel.project import Project
from hostel.stage import Stage


def environment_of(stage: Stage, venv: Path) -> dict[str, str]:
    """The whole os.environ of the app. Raises UsageError for a `.env` that cannot be read."""
    project = stage.project
    runner = project.machine.runner
    given = Given(
        name=project.site.name,
        user=runner.name,
        home=runner.home,
        own_account=not project.machine.is_root,
        venv=venv,
        url=stage.urls[0],
        domains=project.site.domains,
        data=project.layout.data,
        database=database_address(project),
    )
    return compose(project.site.env, dotenv_of(project.root, project.machine), given, os.environ)


def database_address(project: Project) -> DatabaseAddress | None:
    if project.site.database is None:
        return None
    return DatabaseAddress(project.site.name, project.site.name, project.layout.run)


def dotenv_of(root: Path, machine: Machine) -> dict[str, str]:
    """The variables of the project's `.env`. Raises UsageError where it cannot be read."""
    path = root / ".env"
    if machine.is_root and path.is_symlink() and not path.resolve().is_relative_to(root):
        raise UsageError(
            f"reading {path}",
            "it is a link out of the project, and could lead root to any secret of this machine",
            "Put a file in its place, or run hostel as the user that may read it.",
        )
    try:
        with machine.eyes_of_owner(root):
            text = (machine.read(path) or b"").decode()
    except OSError as error:
        raise UsageError(f"reading {path}", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"reading {path}", f"it is not UTF-8 (byte {error.start})", "Save it as UTF-8."
        ) from error
    return read_dotenv(text, str(path))
