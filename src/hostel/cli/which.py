"""Which site of a server a verb is about: the one named, that of a folder, or the only one.

Reads folder names and, for a folder, its site file; changes nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from hostel.errors import UsageError
from hostel.platforms.debian import ServerPlaces

if TYPE_CHECKING:
    from hostel.target import Target

PLACES = ServerPlaces()
"""Those of this server."""

DOING = "finding out which site is meant"


def site_name(given: str | None) -> str:
    """The site that `--site` (or an argument) names, or that this folder or server suggests.

    A name is taken as it is, whether there is such a site or not: what to do about that, the verb
    knows. Raises UsageError where nothing says which, or several could be meant.
    """
    from hostel import site_values

    if given is None:
        return _suggested()
    if site_values.NAME.fullmatch(given) and (given in sites() or not Path(given).is_dir()):
        with contextlib.suppress(ValueError):
            return site_values.name(given)
    target = _folder(given)
    if target is None:
        raise UsageError(
            DOING,
            f"{site_values.shown(given)} is neither the name of a site nor a folder of one",
            _remedy(),
        )
    if target.site_file is None and site_values.name_from(target.root.name) not in sites():
        raise UsageError(
            DOING,
            f"{target.root} has no site file",
            f"Give the site's name instead. {_remedy()}".strip(),
        )
    return name_in(target)


def sites() -> tuple[str, ...]:
    """The sites that this server knows: those made live, and those that variables are kept for."""
    from hostel import site_values

    found: set[str] = set()
    for folder in (PLACES.sites, PLACES.etc / "sites"):
        with contextlib.suppress(OSError):
            found |= {
                entry.name
                for entry in folder.iterdir()
                if site_values.NAME.fullmatch(entry.name) and entry.is_dir()
            }
    return tuple(sorted(found))


def is_live(name: str) -> bool:
    """Whether the site has been made live on this server."""
    return PLACES.site(name).records.is_dir()


def project_here(name: str, given: str | None = None) -> Path | None:
    """The folder `given`, or else the one we are in, if it is the project of the site `name`."""
    for text in dict.fromkeys((given, ".")):
        target = _folder(text) if text else None
        if target is not None and target.site_file is not None:
            with contextlib.suppress(UsageError):
                if name_in(target) == name:
                    return target.root
    return None


def name_in(target: Target) -> str:
    """The name in a site file, whatever else is wrong in there; or the one its folder gives it."""
    from hostel import site_values, sitefile
    from hostel.machine import Machine

    if target.site_file is None:
        return site_values.name_from(target.root.name)
    with Machine().eyes_of_owner(target.root):
        text = sitefile.read(target.site_file)
    try:
        said = sitefile.table_of(text, target.site_file.name, target.table).get("name")
    except UsageError:
        said = _live_from(target.root)
        if said is None:
            raise
    if said is None:
        return site_values.name_from(target.root.name)
    try:
        return site_values.name(str(said))
    except ValueError as error:
        raise UsageError(
            f"reading {target.site_file}", f"name: {error}", "Correct it, or use --site NAME."
        ) from None


def _live_from(root: Path) -> str | None:
    """The site that was made live from this folder, whatever its site file says by now."""
    from hostel.errors import HostelError
    from hostel.machine import Machine
    from hostel.server import generations

    for name in sites():
        with contextlib.suppress(HostelError, OSError):
            live = generations.live_of(PLACES.site(name), Machine())
            if live is not None and live.root == str(root):
                return name
    return None


def _suggested() -> str:
    target = _folder(".")
    if target is not None and target.site_file is not None:
        return name_in(target)
    known = sites()
    if len(known) == 1:
        return known[0]
    happened = "there are several on this server" if known else "there is none on this server yet"
    raise UsageError(DOING, happened, _remedy())


def _folder(text: str) -> Target | None:
    """The project in a folder, or of a site file; None where that is something else."""
    from hostel.target import resolve

    try:
        if not Path(text).exists():
            return None
    except (OSError, ValueError):
        return None
    found = resolve(text)
    return found if found.app is None else None


def _remedy() -> str:
    known = sites()
    if not known:
        return "Stand in the folder of its site file, or name it: --site NAME."
    return f"Name it: {', '.join(f'--site {name}' for name in known[:20])}."
