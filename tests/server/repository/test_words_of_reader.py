"""What a person reads about a text that is no configuration, and what the text is once a program has made the fix, word for word.

`words_of_reader.txt` has the cases: a text, and for each of its problems what is told and, where a program can make the
fix, the text with it made.
"""

from ast import literal_eval
from pathlib import Path

import pytest

from config_words import told

CASES = Path(__file__).with_name("words_of_reader.txt").read_text(encoding="utf-8").strip().split("\n\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.split("\n")[0][:60])
def test_a_text_that_is_no_configuration(tmp_path: Path, case: str):
    text, *expected = case.split("\n")
    problems = told(tmp_path, literal_eval(text))
    written = [(f"  {problem}", f"  -> {fixed!r}" if fixed is not None else None) for problem, fixed in problems]
    assert [line for lines in written for line in lines if line is not None] == expected
