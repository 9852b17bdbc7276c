"""Texts of strangers, fit to be shown."""

import pytest

from tcli_server.protocols.texts import answerable, short


def test_a_name_is_cut_only_where_it_is_too_long():
    assert short("n" * 200) == "n" * 200
    assert short("n" * 201) == "n" * 200 + "... (201 characters)"
    assert answerable("n" * 9, 9) == "n" * 9
    assert answerable("n" * 10, 9) == "n" * 9 + "... (10 characters)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x00\x07\x7f\x9f", "\\x00\\x07\\x7f\\x9f"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("lone \ud800", "lone \\ud800"),
        ("\xa0 é 漢 \U0001f600", "\xa0 é 漢 \U0001f600"),
    ],
)
def test_what_nobody_could_read_is_escaped(text: str, shown: str):
    assert short(text) == shown
    assert answerable(text, 100) == shown


def test_lines_stay_lines_in_a_message_and_are_none_in_a_name():
    assert answerable("one\n\ttwo", 100) == "one\n\ttwo"
    assert short("one\n\ttwo") == "one\\x0a\\x09two"


def test_what_is_no_text_is_shown_as_python_shows_it():
    assert short([1, None]) == "[1, None]"
