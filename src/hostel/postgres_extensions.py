"""Which PostgreSQL extensions a site may have, and what to install for one that is not there.

Hostel creates them as the superuser, so it takes only those that PostgreSQL itself calls
trusted, and some more that reach nothing outside their database. Creates none itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostel.errors import HostelError

if TYPE_CHECKING:
    import psycopg

HARMLESS = frozenset(
    (
        "address_standardizer",
        "autoinc",
        "bloom",
        "earthdistance",
        "hll",
        "insert_username",
        "intagg",
        "ip4r",
        "moddatetime",
        "pgrouting",
        "postgis",
        "postgis_raster",
        "postgis_sfcgal",
        "postgis_tiger_geocoder",
        "postgis_topology",
        "vector",
    )
)
"""Not marked as trusted, mostly since their makers have not yet; none reads files or networks."""

_PACKAGES = {
    "address_standardizer": "postgresql-{}-postgis-3",
    "debversion": "postgresql-{}-debversion",
    "h3": "postgresql-{}-h3",
    "hll": "postgresql-{}-hll",
    "hypopg": "postgresql-{}-hypopg",
    "ip4r": "postgresql-{}-ip4r",
    "orafce": "postgresql-{}-orafce",
    "pgrouting": "postgresql-{}-pgrouting",
    "postgis": "postgresql-{}-postgis-3",
    "vector": "postgresql-{}-pgvector",
}


def check(connection: psycopg.Connection[Any], extension: str) -> None:
    """Raise HostelError unless the extension, with all that it requires, may be created."""
    doing = f"creating the extension {extension}"
    todo, seen = [extension], set()
    while todo:
        name = todo.pop()
        seen.add(name)
        row = connection.execute(
            """
            SELECT v.trusted, v.requires::text[]
            FROM pg_catalog.pg_available_extensions a
            JOIN pg_catalog.pg_available_extension_versions v
              ON v.name = a.name AND v.version = a.default_version
            WHERE a.name = %s
            """,
            [name],
        ).fetchone()
        if row is None:
            raise _missing(connection, name, doing)
        trusted, requires = row
        if not trusted and name not in HARMLESS:
            raise HostelError(
                doing,
                f"{name} is not trusted: it can do more than work with its own database",
                "Leave it out of [database] extensions; if you know what it does, create it "
                "yourself as the superuser of the cluster.",
            )
        todo += [other for other in requires or () if other not in seen]


def _missing(connection: psycopg.Connection[Any], name: str, doing: str) -> HostelError:
    from difflib import get_close_matches

    found = connection.execute("SELECT name FROM pg_catalog.pg_available_extensions")
    close = get_close_matches(name, [one for (one,) in found], 1, 0.75)
    major = connection.info.server_version // 10000
    if close:
        remedy = f"Did you mean {close[0]}?"
    else:
        stem = "postgis" if name.startswith("postgis") else name
        package = _PACKAGES.get(stem, f"postgresql-{{}}-{name.replace('_', '-')}").format(major)
        sure = "" if stem in _PACKAGES else " (probably; apt-cache search tells)"
        remedy = f"Install the package that has it, on Debian {package}{sure}, and try again."
    return HostelError(doing, f"this PostgreSQL {major} has no {name}", remedy)
