"""Commands in a site file: a list of words, or one string that is split as a shell would. Pure.

No shell ever runs them, so what only a shell could do is refused here instead of being handed to
a program as a strange argument. Runs nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from hostel.site_values import shown

_SHELL = re.compile(r"\$(\w+|[{(])|`")
_OPERATORS = "&|;<>\n"


def command(value: object) -> tuple[str, ...]:
    """Arguments of a command: a list as it is, one string split as a shell would, never run by one.

    Whatever only a shell could do (operators, variables, substitutions) is refused.
    """
    parts: Sequence[object] = _split(value) if isinstance(value, str) else ()
    if isinstance(value, list | tuple):
        parts = value
    words = tuple(part for part in parts if isinstance(part, str))
    if not words or len(words) != len(parts) or not words[0]:
        raise ValueError('must be a command: "python manage.py migrate", or a list of its words')
    if any("\0" in word for word in words):
        raise ValueError("holds a NUL character, which no command can")
    return words


def _split(text: str) -> list[str]:
    text = text.strip()
    found = needs_shell(text)
    if found:
        raise ValueError(
            f"{shown(found)} would need a shell, and no shell runs this: put the commands into "
            'a script and name it here, or ask for a shell yourself: ["sh", "-c", "..."]'
        )
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("a quote is opened and not closed, or it ends in a backslash") from None
    if words and re.match(r"[A-Za-z_]\w*=", words[0]):
        raise ValueError("variables cannot be set in front of a command; put them into [env]")
    return words


def needs_shell(text: str) -> str:
    """The first thing in `text` that a shell would act on; empty where there is none."""
    quote, index = "", 0
    while index < len(text):
        char = text[index]
        expands = None if quote == "'" else _SHELL.match(text, index)
        if char == "\\" and quote != "'":
            index += 1
        elif expands:
            return expands[0]
        elif not quote and char in _OPERATORS:
            run = len(text[index:]) - len(text[index:].lstrip(_OPERATORS))
            return text[index : index + run]
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        index += 1
    return ""
