"""httpd's configuration language: typed directives in, text out. Pure.

Holds the only quoting function for httpd. It knows the grammar, not what a site needs: that is
`hostel.instance_conf`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DOLLAR = "HOSTEL_DOLLAR"
"""A variable that expands to `$`: httpd has no escape for a literal `${`, see `quote`."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./:*@=+,%#{}-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Unquotable(ValueError):
    """The text holds a character that httpd's configuration cannot carry, such as a newline."""


@dataclass(frozen=True)
class Directive:
    """One line: a name and its arguments, unquoted."""

    name: str
    args: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A section such as `<VirtualHost ...>` and what is in it."""

    name: str
    args: tuple[str, ...]
    body: tuple[Directive | Block, ...]


Node = Directive | Block


def line(name: str, *args: object) -> Directive:
    return Directive(name, tuple(str(arg) for arg in args))


def block(name: str, args: Sequence[object], body: Iterable[Node]) -> Block:
    return Block(name, tuple(str(arg) for arg in args), tuple(body))


def render(nodes: Iterable[Node], indent: str = "") -> str:
    """The configuration text. Raises `Unquotable`, and ValueError for a bad directive name."""
    return "".join(_render(node, indent) for node in nodes)


def quote(text: str) -> str:
    """One argument as httpd will read it back, whatever it holds.

    Three layers read an argument: line joining (a newline ends it: refused), then `${NAME}`
    expansion (not rescanned, so a variable that holds `$` makes a literal one), then
    `ap_getword_conf` (quotes, and backslash before a quote or a backslash).
    """
    if _CONTROL.search(text):
        raise Unquotable(f"{text!r} holds a control character")
    if _PLAIN.fullmatch(text) and not text.startswith("#"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("${", f"${{{DOLLAR}}}{{") + '"'


def expression_text(text: str) -> str:
    """A string literal inside an `expr=` argument (to be passed through `quote` in turn)."""
    return "'" + re.sub(r"(['\\%$])", r"\\\1", text) + "'"


def _render(node: Node, indent: str) -> str:
    if not _NAME.fullmatch(node.name):
        raise ValueError(f"not a directive: {node.name!r}")
    words = " ".join([node.name, *map(quote, node.args)])
    if isinstance(node, Directive):
        return f"{indent}{words}\n"
    return f"{indent}<{words}>\n{render(node.body, indent + '    ')}{indent}</{node.name}>\n"
