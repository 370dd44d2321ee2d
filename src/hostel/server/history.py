"""Which generation a rollback leads to, and what it cannot take back. Pure.

Numbers say in which order generations were live. One that a rollback made is the old one again:
what was live before it is what was live before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hostel.server.generations import Generation


def origin(one: Generation) -> int:
    """The number of the generation in which this one's content was made."""
    return one.of or one.number


def before(live: int, known: Mapping[int, Generation]) -> Generation | None:
    """What was live before the generation `live`, and was something else; None if it is not kept.

    Never what was rolled back from, so that each rollback leads further back. A renewed
    certificate alone makes nothing else.
    """
    current = known.get(live)
    at = origin(current) if current else live
    while earlier := [number for number in known if number < at]:
        found = known[max(earlier)]
        if current is None or not alike(found, current):
            return found
        at = origin(found)
    return None


def named(wanted: str, known: Mapping[int, Generation]) -> Generation:
    """The generation with this number, or the latest of the release that begins like this.

    Raises ValueError, in words, for what is neither or could be several.
    """
    if wanted.isdecimal() and int(wanted) in known:
        return known[int(wanted)]
    found = [one for one in known.values() if wanted and one.release.id.startswith(wanted)]
    if not found:
        raise ValueError(f"no generation and no release {wanted} of it is kept")
    releases = sorted({one.release.id for one in found})
    if len(releases) > 1:
        raise ValueError(f"{wanted} could be any of the releases {', '.join(releases)}")
    return found[-1]


def alike(one: Generation, other: Generation) -> bool:
    """Whether the two serve the same: code, environment, limits and all of the site file."""
    return _served(one) == _served(other)


def _served(one: Generation) -> tuple[object, ...]:
    return one.release.id, one.site, one.env, one.processes, one.threads


def hooks_since(old: Generation, known: Iterable[Generation]) -> dict[str, str]:
    """The release hooks that ran after `old` was made, by release: what they did stays done."""
    return {
        one.release.id: " ".join(one.site["hooks"]["release"])
        for one in known
        if one.number > origin(old)
        and one.of is None
        and one.release.id != old.release.id
        and (one.site.get("hooks") or {}).get("release")
    }
