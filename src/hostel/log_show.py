"""Entries of the logs as text for people and as JSON for programs. Pure.

Nothing that leaves here can drive a terminal, whatever strangers sent and apps wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from hostel.log_join import Entry
from hostel.logs import Access, Message, Record, clock, formatted, read_time, visible

INDENT = " " * 10
"""As wide as the time before a request."""


def worth_showing(entry: Entry) -> bool:
    """Whether anything of it is more than daily noise."""
    return entry.access is not None or any(not message.noise for message in entry.messages)


def entry_text(entry: Entry, color: bool = False) -> str:
    """The entry's lines for people: a request, and below it, indented, what it wrote."""
    lines = [text for message in entry.messages for text in _lines(message, color)]
    if not entry.request and entry.access is None:
        return "\n".join(lines)
    request = _dim(visible(entry.request), color)
    if entry.access is not None:
        head = formatted(entry.access, color) + (f"  {request}" if request else "")
    else:
        head = f"{visible(clock(entry.messages[0]))}  request {request}"
    return "\n".join([head, *(INDENT + line for line in lines)])


def day_of(entry: Entry) -> str:
    """The day here on which it ended, such as 2026-11-24; "" where nothing says."""
    return datetime.fromtimestamp(entry.ended).strftime("%Y-%m-%d") if entry.ended else ""


def without_releases(text: str, releases: Path | None) -> str:
    """The text with paths in a release's copy of the code as they are in the project."""
    if releases is None:
        return text
    return re.sub(re.escape(f"{releases}/") + r"[0-9a-f]+/code/", "", text)


def entry_json(entry: Entry, releases: Path | None = None) -> Iterator[str]:
    """The entry as lines of JSON: its request, then what that wrote."""
    records: list[Record] = [entry.access] if entry.access is not None else []
    records += [message for message in entry.messages if not message.noise]
    for record in records:
        fields = _fields(record)
        if fields["message"] is not None:
            fields["message"] = without_releases(fields["message"], releases)
        # All but printable ASCII is escaped by json, except for DEL.
        yield json.dumps(fields).replace("\x7f", "\\u007f")


# -- within ---------------------------------------------------------------------------------


def _lines(message: Message, color: bool) -> list[str]:
    text = formatted(message, color)
    return text.split("\n") if text else []


def _dim(text: str, color: bool) -> str:
    return f"\x1b[2m{text}\x1b[0m" if color and text else text


def _fields(record: Record) -> dict[str, Any]:
    """Each record has every key, so that a program need not ask which there are."""
    fields: dict[str, Any] = {
        "version": 1,
        "time": _iso(record.time),
        "kind": "request",
        "request": record.request or None,
        "method": None,
        "target": None,
        "status": None,
        "ms": None,
        "bytes": None,
        "client": _address(record.client),
        "host": None,
        "level": None,
        "message": None,
        "module": None,
        "pid": None,
    }
    if isinstance(record, Access):
        return fields | {
            "method": record.method,
            "target": record.target,
            "status": record.status,
            "ms": round(record.micros / 1000, 3),
            "bytes": record.size,
            "host": record.host,
        }
    return fields | {
        "kind": "app" if record.app else "server",
        # httpd calls whatever an app prints an error.
        "level": None if record.app else record.level,
        "message": "\n".join(record.lines),
        "module": None if record.app else record.module,
        "pid": int(record.pid) if record.pid.isdecimal() and len(record.pid) < 19 else None,
    }


def _address(client: str) -> str | None:
    """The client's address without the port that the error log adds."""
    host, colon, port = client.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
        client = host.strip("[]")
    return None if client in ("", "-") else client


def _iso(time: str) -> str | None:
    try:
        read = read_time(time)
        return (read if read.tzinfo else read.astimezone()).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):
        return None
