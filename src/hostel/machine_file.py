"""/etc/hostel/machine.toml: what a person says about a whole machine, or every problem in it.

Reads that one file and changes nothing. A machine without it is as good: all has a default.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hostel.errors import UsageError
from hostel.haproxy import RouterPorts

MACHINE_FILE = Path("/etc/hostel/machine.toml")


def load(path: Path = MACHINE_FILE) -> RouterPorts:
    """What [router] says; the defaults where there is no file. Raises UsageError, all at once."""
    from hostel.sitefile import read

    return parse(read(path), str(path)) if path.exists() else RouterPorts()


def parse(text: str, origin: str) -> RouterPorts:
    """What the text of a machine's file says; `origin` names it in messages."""
    from hostel.sitefile import table_of
    from hostel.toml_lines import key_lines

    said = table_of(text, origin, ())
    problems: list[tuple[tuple[str, ...], str]] = []
    for key in said.keys() - {"router"}:
        problems.append(((key,), f"unknown key{_nearest(key, ['router'])}"))
    router = said.get("router", {})
    values: dict[str, Any] = {}
    if isinstance(router, dict):
        values = _router(router, problems)
    else:
        problems.append((("router",), "must be a table"))
    if not problems:
        return RouterPorts(**values)
    lines = key_lines(text)
    placed = sorted((lines.get(keys, 0), keys, what) for keys, what in problems)
    raise UsageError(
        f"reading {origin}",
        "1 problem" if len(placed) == 1 else f"{len(placed)} problems",
        "Correct this and run the same command again.",
        "\n".join(_shown(origin, line, keys, what) for line, keys, what in placed),
    )


# -- within -------------------------------------------------------------------------------------


def _router(
    table: Mapping[str, object], problems: list[tuple[tuple[str, ...], str]]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        settle = _ROUTER.get(key)
        try:
            if settle is None:
                raise ValueError(f"unknown key{_nearest(key, list(_ROUTER))}")
            values[key] = settle(value)
        except ValueError as error:
            problems.append((("router", key), str(error)))
    if values.get("behind"):
        # Whoever is in front is here, and nobody else should go past it.
        values.setdefault("addresses", ("127.0.0.1",))
    default = RouterPorts()
    http, https = values.get("http", default.http), values.get("https", default.https)
    if http == https and not problems:
        key = "https" if "https" in values else "http"
        problems.append((("router", key), f"http and https are both {http}; they must differ"))
    return values


def _port(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")
    if not 1 <= value <= 65535:
        raise ValueError("must be a port, from 1 to 65535")
    return value


def _addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list of addresses, such as ["0.0.0.0", "::"]')
    found = []
    for one in value:
        try:
            # Without a zone: "fe80::1%eth0" is no address that the router could listen on.
            if not isinstance(one, str) or "%" in one:
                raise ValueError
            found.append(str(ipaddress.ip_address(one)))
        except ValueError:
            raise ValueError(f"{_quoted(one)} is no address of this kind") from None
    if len(set(found)) != len(found):
        raise ValueError("names an address twice")
    return tuple(found)


def _yes(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


_ROUTER: dict[str, Callable[[object], object]] = {
    "http": _port,
    "https": _port,
    "addresses": _addresses,
    "behind": _yes,
}


def _quoted(value: object) -> str:
    from hostel.site_values import shown

    return shown(value)


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word.lower()[:100], known, 1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _shown(origin: str, line: int, keys: tuple[str, ...], what: str) -> str:
    *tables, key = keys
    plain = key if key.replace("-", "").replace("_", "").isalnum() else _quoted(key)
    inside = f"[{'.'.join(tables)}] " if tables else ""
    return f"{origin}{f':{line}' if line else ''}  {inside}{plain}: {what}"
