"""The grammar of httpd's configuration, as far as it can be told without an httpd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.httpd import DOLLAR, Unquotable, block, expression_text, line, quote, render

printable = st.text(st.characters(exclude_categories=("Cc", "Cs")))


def read_back(text: str) -> str:
    """One argument as httpd reads it: variables first, then ap_getword_conf."""
    text = text.replace(f"${{{DOLLAR}}}", "$")
    if not text.startswith('"'):
        assert not set(text) & set(" \t\"'\\")
        return text
    assert text.endswith('"')
    out, chars = [], iter(text[1:-1])
    for char in chars:
        if char == "\\":
            char = next(chars)
            assert char in '"\\'
        else:
            assert char != '"'
        out.append(char)
    return "".join(out)


@given(printable)
def test_any_printable_text_is_read_back_as_it_was(text: str) -> None:
    assert read_back(quote(text)) == text


@given(printable, printable)
def test_an_argument_can_neither_end_its_line_nor_open_a_section(one: str, two: str) -> None:
    assert render([line("Alias", one, two)]).count("\n") == 1


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\0", "a\x7f", "tab\there"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(Unquotable):
        quote(text)


def test_a_variable_in_a_path_stays_text() -> None:
    assert quote("/srv/${HOME}") == '"/srv/${HOSTEL_DOLLAR}{HOME}"'


def test_a_directive_name_is_not_taken_from_hostile_text() -> None:
    with pytest.raises(ValueError, match="not a directive"):
        render([line("Alias /x\nLoadModule", "a")])


def test_blocks_nest() -> None:
    text = render(
        [block("VirtualHost", ["*:80"], [block("Location", ["/"], [line("Require", "all")])])]
    )
    assert text == (
        "<VirtualHost *:80>\n    <Location />\n        Require all\n"
        "    </Location>\n</VirtualHost>\n"
    )


def test_expression_text_disarms_quotes_and_variables() -> None:
    assert expression_text("a'b\\c%{X}$1") == r"'a\'b\\c\%{X}\$1'"
