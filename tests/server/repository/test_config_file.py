"""Reading and writing config.pbtxt: every mistake at once, each with its line."""

import random
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import ConfigError
from tcli_server.repository import format_config, read_config, read_config_file
from tcli_server.repository.pbtxt.tokens import tokens

EVERYTHING = """
# a comment, then every way to write things
name: "all" 'of' "it"; platform: 'onnxruntime_onnx', max_batch_size: 0x8
version_policy: { specific { versions: [ 1, 3 ] versions: 5 } }
input [
  { name: "a" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, -1, -1 ] },
  { name: "b" data_type: 13 dims: 1 reshape: { shape: [ ] } optional: true }
]
input < name: "c\\"d" data_type: TYPE_INT64 dims: [ 2, 2 ] reshape { shape: [ 4 ] } >
output { name: "o" data_type: TYPE_FP16, dims: [ 10 ], label_filename: "l\\303\\244bels.txt" }
instance_group [ { kind: KIND_CPU count: 2 }, { kind: KIND_GPU gpus: [ 0, 1 ] } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 preserve_ordering: True }
parameters { key: "x" value { string_value: "y" } }
parameters [ { key: "z" value: { string_value: "1" } } ]
metric_tags { key: "team" value: "vision" }
optimization { graph { level: -1 } input_pinned_memory { enable: false } }
"""


def read(tmp_path: Path, text: str) -> list[tuple[int | None, str, str]]:
    """(line, field, fix) of every problem."""
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    problems = read_config_file(path).problems
    assert all(problem.file == path for problem in problems)
    return [(problem.line, problem.field, problem.fix) for problem in problems]


def test_what_protobuf_accepts_is_read_as_protobuf_reads_it(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_text(EVERYTHING)
    assert read_config(path) == text_format.Parse(EVERYTHING, ModelConfig())


def test_what_is_written_is_read_back(tmp_path: Path):
    config = text_format.Parse(EVERYTHING, ModelConfig())
    text = format_config(config, header_comment="Written by hand.", comments={"input": "What it takes."})
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    assert read_config(path) == config
    assert text.startswith("# Written by hand.\n\n")
    assert "dims: [ 3, -1, -1 ]" in text
    assert "# What it takes.\ninput [" in text


def test_every_field_has_its_line(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_text(EVERYTHING)
    positions = read_config_file(path).positions
    assert positions.line("max_batch_size") == 3
    assert positions.line("version_policy.specific.versions[2]") == 4
    assert positions.line("input[1].dims") == 7
    assert positions.line("input[2].reshape.shape") == 9
    assert positions.line('parameters["z"].value') == 14
    assert positions.line("input[0].label_filename") == 6  # not there: the message around it
    assert positions.line("runtime") is None


def test_all_unknown_and_misspelt_fields_are_reported_at_once(tmp_path: Path):
    text = """nam: "x"
platfrom: "onnxruntime_onnx"
max_batch_sizes: 8
input [ {
  name: "a"
  dim: [ 3 ]
  formt: FORMAT_NCHW
} ]
instance_groups [ { cont: 2 } ]
zork { nested: [ 1, { a: 2 } ] text: "a" "b" }
"""
    assert read(tmp_path, text) == [
        (1, "nam", "write name"),
        (2, "platfrom", "write platform"),
        (3, "max_batch_sizes", "write max_batch_size"),
        (6, "input[0].dim", "write dims"),
        (7, "input[0].formt", "write format"),
        (9, "instance_groups", "write instance_group"),
        (9, "instance_group[0].cont", "write count"),
        (10, "zork", "remove it"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "field", "fix"),
    [
        ('name: "x"\ninput {\n  data_type: FP32\n}', 3, "input[0].data_type", "write TYPE_FP32"),
        ("input { data_type: TYPE_FLOAT }", 1, "input[0].data_type", "write TYPE_FP32"),
        ("instance_group { kind: CPU }", 1, "instance_group[0].kind", "write KIND_CPU"),
        ("name: densenet", 1, "name", 'write "densenet"'),
        ('max_batch_size: "8"', 1, "max_batch_size", "write 8 without quotes"),
        ("max_batch_size: 8.0", 1, "max_batch_size", "write 8"),
        ("max_batch_size: 99999999999", 1, "max_batch_size", "write such a number, in plain digits"),
        ("max_batch_size = 8", 1, "max_batch_size", "write ':'"),
        ("max_batch_size: [ 8 ]", 1, "max_batch_size", "remove the brackets"),
        ("max_batch_size: 1\nmax_batch_size: 2", 2, "max_batch_size", "remove one of the two"),
        ("dynamic_batching { }\nsequence_batching { }", 2, "sequence_batching", "remove one of the two"),
        ("input { optional: yes }", 1, "input[0].optional", "write true"),
        ("input { dims [ 3 ] }", 1, "input[0].dims", "write dims: ["),
        ("input { dims: [ 3 224 ] }", 1, "input[0].dims", "add ','"),
        ("input { dims: [ 3, ] }", 1, "input[0].dims", "remove this ','"),
        ('input [\n  { name: "a" }\n  { name: "b" }\n]', 3, "input", "add ','"),
        ('input [\n  { name: "a"\n]', 3, "input[0]", "close the '{' of line 2 with '}' first"),
        ('input {\n  name: "a"\n', 1, "input[0]", "add the missing '}'"),
        ("input { dims: [ 3, 4\n}", 2, "input[0].dims", "close the '[' of line 1 with ']' first"),
        ('name: "x"\n}', 2, "", "remove this '}': nothing is open here"),
        ('name: "x\n', 1, "name", 'add the missing "'),
        ('"name": "x"', 1, "", "write the name without quotes: name"),
        ('{ name: "x" }', 1, "", "remove this '{' and the '}' that closes it"),
        ("name:", 1, "name", "write a value behind name, or remove it"),
        ("name", 1, "name", "write a value behind name, or remove it"),
        ("parameters: 5", 1, "parameters[0]", "put the fields of this message in { }"),
    ],
)
def test_a_mistake_is_told_with_line_field_and_fix(tmp_path: Path, text: str, line: int, field: str, fix: str):
    assert read(tmp_path, text) == [(line, field, fix)]


def test_a_syntax_error_tells_the_column_too(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_text('name: "x"\n  ] ')
    with pytest.raises(ConfigError, match=r"config\.pbtxt:2: found '\]' \(column 3\)"):
        read_config(path)


def test_problems_before_a_syntax_error_are_told_as_well(tmp_path: Path):
    problems = read(tmp_path, 'nam: "x"\nmax_batch_sizes: 8\n]')
    assert [line for line, _, _ in problems] == [1, 2, 3]


def test_a_file_that_is_no_text_is_told_to_be_none(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'name: "x"\nplatform: "\xff\xfe"\n')
    (problem,) = read_config_file(path).problems
    assert problem.line == 2
    assert "UTF-8" in problem.found


def test_windows_line_ends_do_no_harm(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'name: "x"\r\nmax_batch_size: 4\r\n# end')
    file = read_config_file(path)
    assert not file.problems
    assert file.config.max_batch_size == 4
    assert file.positions.line("max_batch_size") == 2


def test_an_empty_file_is_an_empty_configuration(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_text("")
    assert read_config(path) == ModelConfig()


def test_the_reader_is_never_laxer_than_protobuf_whatever_is_done_to_a_file(tmp_path: Path):
    words = [token.text for token in tokens(EVERYTHING, []) if token.text]
    strays = ["{", "}", "[", "]", ",", ":", "=", '"x', "'", "5", "-1", "zork", '"a"', "1.5", "<", ">", "#", "\\"]
    dice = random.Random(5)
    path = tmp_path / "config.pbtxt"
    for _ in range(400):
        broken = list(words)
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(broken))
            broken[place : place + dice.randint(0, 1)] = dice.choice([[], [dice.choice(words)], [dice.choice(strays)]])
        text = dice.choice([" ", "\n"]).join(broken)
        path.write_text(text)
        file = read_config_file(path)
        try:
            expected = text_format.Parse(text, ModelConfig())
        except text_format.ParseError:
            assert file.problems, text
        else:
            assert file.problems or file.config == expected, text
