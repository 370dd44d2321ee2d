"""Why a site gets a new generation: how it differs from the live one, for people. Pure.

Values that look like secrets are masked, and so is everything that the store keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from hostel.masking import difference
from hostel.server.generations import Generation
from hostel.server.setting import Setting


@dataclass(frozen=True)
class Reason:
    """One difference: what differs, and both sides as they may be shown, "" for nothing."""

    what: str
    before: str
    after: str


def reasons(live: Generation | None, setting: Setting, secret: Collection[str]) -> list[Reason]:
    """The differences in the order in which they matter; `secret` names variables of the store."""
    if live is None:
        names = ", ".join(setting.names)
        return [
            Reason("release", "", f"{setting.release.id} (Python {setting.release.python})"),
            Reason("names", "", names),
            Reason("variables", "", str(len(setting.env))),
        ]
    found = [
        Reason("release", live.release.id, setting.release.id),
        Reason("python", live.release.python, setting.release.python),
        Reason("mod_wsgi", live.release.module, setting.release.module),
        Reason("processes", str(live.processes), str(setting.processes)),
        Reason("threads", str(live.threads), str(setting.threads)),
        Reason("certificate", _edition(live.certificate), _edition(setting.certificate)),
    ]
    found += _of_site(live.site, setting.site.model_dump(mode="json"))
    found += [
        Reason(f"env {one.name}", one.before_masked or "", one.after_masked or "")
        # What is live may be of the store as it was.
        for one in difference(live.env, setting.env, {*live.env, *secret})
        if one.name not in _FOLLOWING
    ]
    # A variable differs even where both sides are hidden, and so look the same.
    different = [
        reason
        for reason in found
        if reason.before != reason.after or reason.what.startswith("env ")
    ]
    if different:
        return different
    return [Reason("Hostel", "made by another version of it", "this version")]


_FOLLOWING = frozenset({"PATH", "VIRTUAL_ENV"})
"""Variables that follow from the release."""

_TOLD = frozenset({"env", "name"})


def _of_site(before: dict[str, Any], after: dict[str, Any], above: str = "") -> Iterator[Reason]:
    for key in dict.fromkeys([*before, *after]):
        if not above and key in _TOLD:
            continue
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _of_site(old, new, f"{above}{key}.")
        elif old != new:
            yield Reason(f"{above}{key}", _said(old), _said(new))


def _said(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _edition(number: int) -> str:
    return f"edition {number}" if number else "none"
