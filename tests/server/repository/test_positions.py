"""Where the fields of a configuration stand, the edits that change them, and problems as text."""

from pathlib import Path

import pytest

from tcli_server.repository import ConfigFile, Edit, Problem, apply_edits, read_config_file
from tcli_server.repository.report import Report

TEXT = """max_batch_size: 8
instance_group {
  gpus: 2
  gpus: [ 0, 1 ] gpus: 3
}
input [
  { name: "x" },
  { name: "y" }
]
parameters { key: "a" value { string_value: "1" } }
parameters { key: "b" value { string_value: "2" } }
parameters { key: "b" value { string_value: "3" } }
dynamic_batching { }"""


def read(folder: Path, text: str) -> ConfigFile:
    path = folder / "config.pbtxt"
    path.write_text(text)
    return read_config_file(path)


def test_a_field_that_is_not_there_has_the_line_of_what_is_around_it(tmp_path: Path):
    positions = read(tmp_path, TEXT).positions
    lines = {
        "instance_group[0].gpus[0]": 3,
        "instance_group[0].gpus[1]": 4,
        "instance_group[0].gpus": 3,
        "instance_group[0].kind": 2,
        "instance_group[7].kind": 2,
        "input[1].dims[3]": 8,
        "input[5]": 6,
        'parameters["a"].value': 10,
        'parameters["b"].value': 11,
        "name": None,
        "": None,
    }
    assert {path: positions.line(path) for path in lines} == lines


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("max_batch_size", "4", {"max_batch_size: 8": "max_batch_size: 4"}),
        ("instance_group[0].gpus", "[ 7 ]", {"gpus: 2\n  gpus: [ 0, 1 ] gpus: 3": "gpus: [ 7 ]\n   "}),
        ("instance_group[0].gpus[2]", "7", {"[ 0, 1 ]": "[ 0, 7 ]"}),
        ("instance_group[0].gpus[3]", "7", {"gpus: 3": "gpus: 7"}),
        ("input[1]", "{ }", {'{ name: "y" }': "{ }"}),
        ('parameters["a"].value', "{ }", {'{ string_value: "1" }': "{ }"}),
        ("name", '"m"', {}),
        ('parameters["b"]', "{ }", {}),
    ],
)
def test_a_value_is_written_wherever_it_stands(tmp_path: Path, path: str, value: str, changed: dict[str, str]):
    edits = read(tmp_path, TEXT).positions.writing(path, value)
    expected = TEXT
    for old, new in changed.items():
        expected = expected.replace(old, new)
    assert apply_edits(TEXT, edits) == expected


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("max_batch_size", {"max_batch_size: 8": ""}),
        ("instance_group[0].gpus", {"gpus: 2\n  gpus: [ 0, 1 ] gpus: 3": "\n   "}),
        ("instance_group[0].gpus[1]", {"[ 0, 1 ]": "[ 1 ]"}),
        ("instance_group[0].gpus[2]", {"[ 0, 1 ]": "[ 0 ]"}),
        ("input[0]", {'{ name: "x" },\n  {': "{"}),
        ("input[1]", {',\n  { name: "y" }': ""}),
        ('parameters["a"]', {'parameters { key: "a" value { string_value: "1" } }': ""}),
        ('parameters["b"]', {}),
        ("parameters", {}),
    ],
)
def test_a_field_is_removed_wherever_it_stands(tmp_path: Path, path: str, changed: dict[str, str]):
    edits = read(tmp_path, TEXT).positions.removing(path)
    expected = TEXT
    for old, new in changed.items():
        expected = expected.replace(old, new)
    assert apply_edits(TEXT, edits) == expected


def test_a_field_is_added(tmp_path: Path):
    positions = read(tmp_path, TEXT).positions
    added = apply_edits(TEXT, positions.adding("dynamic_batching", "preserve_ordering: true"))
    assert added == TEXT.replace("batching { }", "batching { preserve_ordering: true }")
    assert apply_edits(TEXT, positions.adding("", 'name: "m"')) == f'{TEXT}\nname: "m"\n'
    assert positions.adding("version_policy", "all { }") == ()
    assert positions.adding('parameters["b"]', 'key: "c"') == ()
    for text in ("", "# c\n"):
        assert apply_edits(text, read(tmp_path, text).positions.adding("", 'name: "m"')) == f'{text}name: "m"\n'


def test_what_was_not_read_is_doubted_and_nothing_else(tmp_path: Path):
    text = 'max_batch_size: x\ninput [ { dims: [ 1, x ] zork: 1 }, { name: "y" optional: yes dims: [ None, 1 ] } ]'
    positions = read(tmp_path, text).positions
    doubted = [
        *("max_batch_size", "input", "input[0]", "input[0].dims", "input[0].dims[1]", "input[0].name"),
        *("input[0].reshape",),
    ]
    sure = [
        "name",
        "input[0].dims[0]",
        "input[1]",
        "input[1].dims",
        "input[1].optional",
        "input[1].name",
        "input[1].format",
    ]
    assert [path for path in (*doubted, *sure) if positions.doubts(path)] == doubted
    told = ["input[1].optional", "input[1].dims[0]", "input[1].dims"]
    assert [
        path for path in (*told, "input[1].dims[1]", "input[1].name", "input[1]") if positions.is_told(path)
    ] == told
    assert read(tmp_path, "( )").positions.doubts("name")
    assert not read(tmp_path, "").positions.doubts("name")


def test_edits_are_made_where_the_text_was_before():
    text = "one\ntwo three\n"
    edits = [Edit(1, 2, "n", "N"), Edit(2, 1, "two ", ""), Edit(2, 10, "", "!"), Edit(3, 1, "", "four")]
    assert apply_edits(text, edits) == apply_edits(text, reversed(edits)) == "oNe\nthree!\nfour"
    with pytest.raises(ValueError, match="no 'tvo' on line 2, column 1"):
        apply_edits(text, [Edit(2, 1, "tvo", "")])
    with pytest.raises(ValueError, match="on line 1, column 2"):
        apply_edits(text, [Edit(1, 2, "one", "")])


def test_a_problem_says_where_it_is_as_far_as_that_is_known():
    def told(file: Path | None, line: int | None, field: str) -> str:
        return str(Problem(file, line, field, "a", "b", "c"))

    assert told(Path("f"), 3, "name") == "f:3: name: found a, expected b; fix: c"
    assert told(Path("f"), None, "name") == "f: name: found a, expected b; fix: c"
    assert told(Path("f"), 3, "") == "f:3: found a, expected b; fix: c"
    assert told(None, 3, "name") == "in the parameter 'config': name: found a, expected b; fix: c"


def test_a_report_is_of_a_bearable_length():
    report = Report(Path("f"))
    report.add("name", "x" * 400, "y" * 401, "\x1b\n\\")
    report.add("name", "x" * 400, "y" * 401, "\x1b\n\\")
    (problem,) = report.problems
    assert (problem.line, problem.found, problem.expected) == (None, "x" * 400, "y" * 400 + "...")
    assert problem.fix == "\\x1b\\n\\"
    for count in range(2, 100):
        report.add(f"input[{count}]", "a", "b", "c", count)
        assert not report.is_full
    report.add("input[100]", "a", "b", "c", 100)
    assert report.is_full
    report.add("input[101]", "a", "b", "c", 101)
    assert [problem.line for problem in report.problems][-2:] == [99, 100]
    assert not report.doubts("name")
    assert report.writing("name", "x") == report.removing("name") == report.adding("", "x") == ()


def test_what_a_file_says_nothing_about_is_told_at_its_first_line(tmp_path: Path):
    file = read(tmp_path, "\n\nmax_batch_size: 8")
    report = Report(tmp_path, file.positions)
    report.add("output", "a", "b", "c")
    report.add("max_batch_size", "a", "b", "c")
    assert [problem.line for problem in report.problems] == [1, 3]
