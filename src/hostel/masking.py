"""Which values of variables look like secrets, and how a variable is shown to people. Pure.

Decides by the name and by what is known to hold secrets; a value it is not sure of is hidden.
How long a hidden value is cannot be seen. What comes from the store is a secret whatever it is
called: the caller says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

MASK = "••••••"

Verb = Literal["set", "change", "remove"]

_WORDS = (
    "SECRET|TOKEN|PASSW|PASSPHRASE|PASS|PWD|KEY|CREDENTIAL|AUTH|COOKIE|DSN|SESSION|SIGN|SALT|"
    "PEPPER|PRIVATE|CONNECTION_?STRING|WEBHOOK|OTP"
)
_NAME = re.compile(rf"(?!(OLD)?PWD$).*({_WORDS})", re.IGNORECASE | re.DOTALL)
_VALUES = (
    re.compile(r"\w://\S{0,999}@"),  # scheme://user:password@host, https://token@host
    re.compile(rf"({_WORDS})[\w.-]{{0,40}}[\"']?\s{{0,9}}[:=]", re.I),  # in a query, JSON or DSN
    re.compile(r"-----BEGIN|PRIVATE KEY"),
    re.compile(r"\b(gh[pousr]_|github_pat_|glpat-|xox[a-z]-|[srp]k_(live|test)_|sk-|AKIA|eyJ)\w"),
    re.compile(r"(?<![\w/])[0-9a-fA-F]{32,}(?![\w/])"),
    re.compile(r"(?<![\w/+.-])(?=\w{0,99}\d)(?=\w{0,99}[a-z])(?=\w{0,99}[A-Z])[\w+=-]{24,}"),
)
"""Repetitions are bounded, so that no value keeps this busy for long."""


@dataclass(frozen=True)
class EnvChange:
    """One variable that changes; its values as they may be shown, None where it is absent."""

    name: str
    verb: Verb
    before_masked: str | None
    after_masked: str | None


def looks_secret(name: str, value: str) -> bool:
    """Whether the name says so, or the value is of a kind that holds a secret."""
    return bool(_NAME.match(name)) or any(kind.search(value) for kind in _VALUES)


def masked(name: str, value: str, secret: bool = False) -> str:
    """The value for people, on one line; a mask where it looks like a secret or is said to be."""
    return MASK if secret or looks_secret(name, value) else plain(value)


def plain(value: str) -> str:
    """The whole value on one line, which no terminal takes for an instruction."""
    return '""' if not value else "".join(_escaped(char) for char in value)


def difference(
    before: Mapping[str, str], after: Mapping[str, str], secret: Collection[str] = ()
) -> list[EnvChange]:
    """What changes, in order of names; `secret` names variables to be hidden whatever they hold.

    A value that is hidden on one side is hidden on the other: one may tell of the other.
    """
    changes = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        sides = [value for value in (old, new) if value is not None]
        hide = name in secret or any(looks_secret(name, value) for value in sides)
        verb: Verb = "set" if old is None else "remove" if new is None else "change"
        changes.append(EnvChange(name, verb, _side(name, old, hide), _side(name, new, hide)))
    return changes


def _side(name: str, value: str | None, secret: bool) -> str | None:
    return None if value is None else masked(name, value, secret)


def _escaped(char: str) -> str:
    return char if char.isprintable() and char != "\\" else _code(char)


def _code(char: str) -> str:
    return "\\\\" if char == "\\" else char.encode("unicode_escape").decode()
