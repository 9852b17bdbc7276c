"""What people really write into config.pbtxt: each mistake is told once, on its line, with a fix that is right."""

import os
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository import (
    ModelFolder,
    Problem,
    apply_edits,
    config_problems,
    read_config_file,
    signature_problems,
)
from tcli_server.signature import ModelSignature, TensorSignature

INPUT = 'input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, 4 ] } ]'
OUTPUT = 'output [ { name: "y" data_type: TYPE_FP32 dims: [ 3, 4 ] } ]'
MODEL = ModelSignature((TensorSignature("x", "FP32", (-1, 3, 4)),), (TensorSignature("y", "FP32", (-1, 3, 4)),))


def judged(folder: Path, text: str | bytes) -> tuple[str, list[Problem]]:
    """The text as it was read, and all that is wrong with it, as file, as configuration and for the model."""
    model = ModelFolder("m", folder)
    model.config_path.write_bytes(text if isinstance(text, bytes) else text.encode())
    file = read_config_file(model.config_path)
    rules = config_problems(file.config, model, file.positions)
    return file.text, [*file.problems, *rules, *signature_problems(file.config, MODEL, model, file.positions)]


def one(folder: Path, text: str | bytes) -> Problem:
    _, problems = judged(folder, text)
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


NUMBERS = [
    ("None", None),
    ("auto", None),
    ("08", "8"),
    ("1e1", "10"),
    ("8.0", "8"),
    ("8.5", None),
    ("+8", "8"),
    ("1_000", "1000"),
    ("1,000", "1000"),
    ("8L", "8"),
    ("0b11", None),
    ("4294967296", None),
    ("9" * 5000, None),
    ("1e999999999", None),
    ("²", None),
    ("８", "8"),
    ("${max_batch}", None),
    ("{{ max_batch }}", None),
    ("{% max %}", None),
    ("<MAX_BATCH>", None),
    ("%(max)s", None),
    ("$MAX", None),
    ("...", None),
    ("TODO", None),
    ('"8"', "8"),
    ("“8”", "8"),
    ("'auto'", None),
    ("[ 8 ]", "8"),
    ("{ 8 }", "8"),
    ("(8)", "8"),
    ("[ ]", None),
    ("[ 8, 16 ]", None),
    ("8 GB", "8 "),
    ("8 8", "8 "),
    ("8 // eight", "8 # eight"),
    ("8 /* eight */", "8 # eight "),
]


@pytest.mark.parametrize(("value", "meant"), NUMBERS)
def test_a_number_that_is_none_is_told_once_and_not_taken_for_zero(tmp_path: Path, value: str, meant: str | None):
    text = f'name: "m"\nmax_batch_size: {value}\n{INPUT}\n{OUTPUT}\n'
    problem = one(tmp_path, text)
    assert problem.line == 2
    assert problem.field in ("max_batch_size", "")
    assert "one of these" not in problem.fix
    assert len(str(problem)) < 500
    if meant is None:
        assert not problem.edits
    else:
        assert apply_edits(text, problem.edits) == f'name: "m"\nmax_batch_size: {meant}\n{INPUT}\n{OUTPUT}\n'


@pytest.mark.parametrize(
    "rest", [f"\n{INPUT}\n", '\nplatform: "onnxruntime_onnx"\n', ' platform: "onnxruntime_onnx"\n', ",\n", "\n"]
)
def test_a_field_without_a_value_is_told_on_its_own_line(tmp_path: Path, rest: str):
    problem = one(tmp_path, f"{OUTPUT}\nmax_batch_size:{rest}")
    assert (problem.line, problem.field) == (2, "max_batch_size")
    assert problem.found == "no value behind 'max_batch_size'"


@pytest.mark.parametrize(
    ("dims", "right"),
    [
        ("[ None, 4 ]", "[ -1, 4 ]"),
        ("[ ?, 4 ]", "[ -1, 4 ]"),
        ("[ batch, 4 ]", "[ -1, 4 ]"),
        ("[ –1, 4 ]", "[ -1, 4 ]"),
        ("[ -1L, 4 ]", "[ -1, 4 ]"),
        ("[ 3.0, 4 ]", "[ 3, 4 ]"),
        ("[ [ 3, 4 ] ]", "[  3, 4  ]"),
        ("[ 3, 4, ]", "[ 3, 4 ]"),
        ("[ 3 4 ]", "[ 3, 4 ]"),
        ("[ 3; 4 ]", "[ 3, 4 ]"),
        ("(3, 4)", "[ 3, 4 ]"),
        ("{3, 4}", "[ 3, 4 ]"),
        ("3, 4", "[ 3, 4 ]"),
        ("3 4", "[ 3, 4 ]"),
        ("3x4", "[ 3, 4 ]"),
        ('"3, 4"', "[ 3, 4 ]"),
    ],
)
def test_dims_in_every_other_form(tmp_path: Path, dims: str, right: str):
    text = f'max_batch_size: 8 input {{ name: "x" data_type: TYPE_FP32 dims: DIMS }}\n{OUTPUT}'
    problem = one(tmp_path, text.replace("DIMS", dims))
    assert problem.field.startswith("input[0].dims")
    assert apply_edits(text.replace("DIMS", dims), problem.edits).replace(" ", "") == text.replace(
        "DIMS", right
    ).replace(" ", "")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("input { reshape: [ 3, 4 ] }", "write reshape { shape: [ 3, 4 ] }"),
        ("input { reshape: { 3, 4 } }", "write reshape { shape: [ 3, 4 ] }"),
        ("input { reshape: 12 }", "write reshape { shape: [ 12 ] }"),
        ("input { reshape: [ ] }", "write reshape { shape: [ ] }"),
        (
            'optimization { execution_accelerators { gpu_execution_accelerator: [ "cuda" ] } }',
            'write gpu_execution_accelerator { name: "cuda" }',
        ),
        ("optimization { input_pinned_memory: false }", "write input_pinned_memory { enable: false }"),
        ('parameters { key: "a" value: "2" }', 'write value { string_value: "2" }'),
        ('parameters { key: "a" value: 2 }', 'write value { string_value: "2" }'),
        ('parameters { key: "a" value { string_value: 2 } }', 'write "2"'),
        ('parameters { a: "2" }', 'write key: "a" value: { string_value: "2" }'),
        ('parameters: { "a": { string_value: "2" } }', 'write key: "a" value: { string_value: "2" }'),
        ('metric_tags { key: "a" value { string_value: "b" } }', 'write "b"'),
        ('metric_tags { a: "b" }', 'write key: "a" value: "b"'),
        ("version_policy: { latest: 1 }", "write latest { num_versions: 1 }"),
        ("version_policy: { specific: [ 1, 2 ] }", "write specific { versions: [ 1, 2 ] }"),
        ("version_policy: { all: true }", "write all { }"),
        ("version_policy: { all }", "write version_policy { all { } }"),
        ("version_policy: all", "write version_policy { all { } }"),
        ('version_policy: "latest"', "write version_policy { latest { num_versions: 1 } }"),
        ("version_policy: [ 1, 2 ]", "write version_policy { specific { versions: [ 1, 2 ] } }"),
        ("instance_group: KIND_CPU", "write instance_group { kind: KIND_CPU }"),
        ("instance_group: [ gpu ]", "write instance_group { kind: KIND_GPU }"),
        ("instance_group: 2", "write instance_group { count: 2 }"),
        ("dynamic_batching: true", "write dynamic_batching { }"),
        ("dynamic_batching: false", "remove dynamic_batching"),
        ("dynamic_batching", "write dynamic_batching { }, or remove it"),
        ("dynamic_batching [ { } ]", "remove the brackets"),
        ("version_policy: 2", "put the fields of this message in { }"),
    ],
)  # fmt: skip
def test_a_value_where_a_message_belongs_and_the_reverse(tmp_path: Path, text: str, fix: str):
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    (problem,) = read_config_file(path).problems
    assert problem.fix == fix
    if problem.edits:
        path.write_text(apply_edits(text, problem.edits))
        assert read_config_file(path).problems == []


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("TYPE_LONG", "write TYPE_INT64"),
        ("long", "write TYPE_INT64"),
        ("TYPE_FLOAT", "write TYPE_FP32"),
        ("type_fp32", "write TYPE_FP32"),
        ("torch.float32", "write TYPE_FP32"),
        ("np.int64", "write TYPE_INT64"),
        ("tensor(float16)", "write TYPE_FP16"),
        ("DT_HALF", "write TYPE_FP16"),
        ("f64", "write TYPE_FP64"),
        ("TYPE_FLAOT32", "write TYPE_FP32"),
        ("TYPE_UNIT8", "write TYPE_UINT8"),
        ('"TYPE_FP32"', "write TYPE_FP32 without quotes"),
        ("TYPE_INT", "write TYPE_INT32 or TYPE_INT64"),
        ("TYPE_", "write one of these"),
        ("TYPE_#DTYPE", "write one of these"),
        ("TYPE_${DTYPE}", "write the value in place of the placeholder"),
        ("TYPE_INT128", "write one of these"),
        ("TYPE_FP8", "write one of these"),
        ("TYPE_COMPLEX64", "write one of these"),
        ("99", "write one of these"),
        ("²", "write one of these"),
    ],
)
def test_data_types_of_other_tools(tmp_path: Path, value: str, fix: str):
    problem = one(tmp_path, f'max_batch_size: 8\ninput {{ name: "x" dims: [ 3, 4 ] data_type: {value}\n}}\n{OUTPUT}')
    assert (problem.line, problem.field, problem.fix) == (2, "input[0].data_type", fix)


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("“m”", '"m"'),
        ("„m“", '"m"'),
        ("«m»", '"m"'),
        ("‘m’", '"m"'),
        ("`m`", '"m"'),
        ('"m”', '"m"'),
        ("\"m'", '"m"'),
        ('"m', '"m"'),
        ("m", '"m"'),
        ('b"m"', '"m"'),
        ('[ "m" ]', '"m"'),
    ],
)
def test_quotes_of_every_kind(tmp_path: Path, value: str, right: str):
    text = f"name: {value}\nmax_batch_size: 8\n{INPUT}\n{OUTPUT}\n"
    problem = one(tmp_path, text)
    assert (problem.line, problem.field) == (1, "name")
    assert apply_edits(text, problem.edits).startswith(f"name: {right}\n")


FORMATS = {
    '{ "name": "m", "max_batch_size": 8 }': "JSON",
    '[ { "name": "m" } ]': "JSON",
    "{'name': 'm'}": "Python",
    '<?xml version="1.0"?>\n<model/>': "XML",
    "<!DOCTYPE html><html></html>": "HTML",
    "---\nname: m\n": "YAML",
    'name: "m"\ninput:\n  - name: x\n    dims: [3, 4]\n': "YAML",
    '[model]\nname = "m"\n': "TOML",
    'syntax = "proto3";\nmessage M { }': "schema",
    "version https://git-lfs.github.com/spec/v1\noid sha256:abc\n": "Git LFS",
    '<<<<<<< HEAD\nname: "m"\n=======\nname: "n"\n>>>>>>> x\n': "merge conflict",
    '```\nname: "m"\n```\n': "Markdown",
    '{ name: "m" }': "braces around",
}


@pytest.mark.parametrize("text", FORMATS)
def test_a_file_of_another_format_is_told_to_be_one(tmp_path: Path, text: str):
    assert FORMATS[text] in one(tmp_path, text).found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('sequence_batching { direct { minimum_slot_utilization: "x" } }', "a number"),
        ("sequence_batching { direct { minimum_slot_utilization: x } }", "a number"),
        ("dynamic_batching { preserve_ordering: maybe }", "true or false"),
        ("name: { }", "a string in quotes"),
        ("max_batch_size: “8", "a string that ends with “ on the same line"),
    ],
)
def test_what_a_field_takes_is_told(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    (problem,) = read_config_file(path).problems
    assert problem.expected == expected


def test_a_missing_input_is_added_as_it_has_to_be_listed(tmp_path: Path):
    shapes = {"x": (-1, 3, 4), "flat": (-1,), "image": (-1, 5, 6)}
    signature = ModelSignature(tuple(TensorSignature(name, "FP32", shape) for name, shape in shapes.items()), ())
    model = ModelFolder("m", tmp_path)

    def missing(text: str) -> list[Problem]:
        model.config_path.write_text(text)
        file = read_config_file(model.config_path)
        return signature_problems(file.config, signature, model, file.positions)

    text = f"max_batch_size: 8\n{INPUT}\n"
    flat, image = missing(text)
    assert flat.fix == "add an input 'flat' with data_type TYPE_FP32 and dims [ 1 ]"
    assert image.fix == "add an input 'image' with data_type TYPE_FP32 and dims [ 5, 6 ]"
    assert ["reshape { shape: [ ] }" in problem.edits[0].new for problem in (flat, image)] == [True, False]
    assert missing(apply_edits(text, [*flat.edits, *image.edits])) == []


def test_a_text_of_several_words_without_quotes_is_one_text(tmp_path: Path):
    text = f"max_batch_size: 8\ndefault_model_filename: my own model.onnx\n{INPUT}\n{OUTPUT}\n"
    problem = one(tmp_path, text)
    assert (problem.line, problem.fix) == (2, 'write "my own model.onnx"')
    assert judged(tmp_path, apply_edits(text, problem.edits))[1] == []


@pytest.mark.parametrize("text", ["name： 'm'", "name: 'm'，", "dynamic_batching ｛ }", "ｎame: 'm'"])
def test_full_width_characters(tmp_path: Path, text: str):
    problem = one(tmp_path, f"{text}\nmax_batch_size: 8\n{INPUT}\n{OUTPUT}\n")
    assert (problem.line, problem.expected.endswith("Triton takes such a character only in quotes")) == (1, True)
    assert apply_edits(text, problem.edits).isascii()


def test_what_comes_behind_a_value_of_several_lines_has_its_line_and_column(tmp_path: Path):
    _, problems = judged(
        tmp_path, f"max_batch_size: - # minus\n8x stray\n  zork: 1 name: \u00a0'm'\n{INPUT}\n{OUTPUT}\n}}"
    )
    told = [(problem.line, problem.found) for problem in problems]
    assert (2, "'stray' (column 4) behind the value of max_batch_size") in told
    assert (3, "unknown field 'zork'") in told
    assert (6, "'}' (column 1)") in told


def test_a_list_in_several_parts_is_removed_whole(tmp_path: Path):
    text = f"max_batch_size: 8\n{INPUT}\n{OUTPUT}\ninstance_group {{ gpus: 2 kind: KIND_CPU gpus: [ 0, 1 ] gpus: 3 }}\n"
    fixed = apply_edits(text, one(tmp_path, text).edits)
    assert "gpus" not in fixed
    assert judged(tmp_path, fixed)[1] == []


@pytest.mark.parametrize("mark", ["//", ";", "--", "%"])
def test_comments_of_other_languages(tmp_path: Path, mark: str):
    text = f"{mark} resnet\nmax_batch_size: 8\n{INPUT}\n{OUTPUT}\n"
    problem = one(tmp_path, text)
    assert (problem.line, problem.fix) == (1, f"write # for {mark}")
    assert apply_edits(text, problem.edits).startswith("# resnet\n")


def test_a_mistake_made_on_many_lines_is_told_once_with_its_lines(tmp_path: Path):
    text = f"// a\nmax_batch_size:\u00a08 // b\n\u00a0{INPUT} /* c\nd */ {OUTPUT}"
    _, problems = judged(tmp_path, text)
    assert [(problem.line, problem.found) for problem in problems] == [
        (1, "a comment that begins with '//', also on line 2"),
        (2, "U+00A0 (no-break space), also on line 3"),
        (3, "a comment that begins with '/*'"),
    ]
    fixed = apply_edits(text, [edit for problem in problems for edit in problem.edits])
    assert judged(tmp_path, fixed)[1] == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("maxBatchSize", "max_batch_size"),
        ("max-batch-size", "max_batch_size"),
        ("MAX_BATCH_SIZE", "max_batch_size"),
        ("max batch size", "max_batch_size"),
        ("max_bacth_size", "max_batch_size"),
        ("batch_size", "max_batch_size"),
        ("min_batch_size", None),
        ("opt_batch_size", None),
        ("zork", None),
    ],
)
def test_a_field_that_is_none_is_only_replaced_by_what_was_meant(tmp_path: Path, name: str, meant: str | None):
    text = f"{name}: 8\n{INPUT}\n{OUTPUT}\n" if meant else f"max_batch_size: 8\n{name}: 8\n{INPUT}\n{OUTPUT}\n"
    problem = one(tmp_path, text)
    assert problem.fix == (f"write {meant}" if meant else "remove it")
    assert judged(tmp_path, apply_edits(text, problem.edits))[1] == []


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("kind: KIND_CPU", "move it into batch_input or into batch_output or into instance_group, or remove it"),
        ("input { max_batch_size: 8 }", "move it to the top level, or remove it"),
        ("preferred_batch_size: [ 4 ]", "move it into dynamic_batching or into sequence_batching.oldest, or remove it"),
    ],
)
def test_a_field_in_the_wrong_place_is_told_where_it_belongs(tmp_path: Path, text: str, fix: str):
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    assert [problem.fix for problem in read_config_file(path).problems] == [fix]


@pytest.mark.parametrize(
    "text",
    [
        f"{INPUT[:-4]} ]\nmax_batch_size: 8\n{OUTPUT}",
        f"{INPUT[:-2]}\nmax_batch_size: 8\n{OUTPUT}",
        f"{INPUT[:-4]}\nmax_batch_size: 8\n{OUTPUT}",
        f"{INPUT[:-6]} }} ]\nmax_batch_size: 8\n{OUTPUT}",
        f"max_batch_size: 8 {INPUT}\n{OUTPUT[:-2]}",
        f"max_batch_size: 8 {INPUT}\n{OUTPUT}\n}}",
        f"max_batch_size: 8 {INPUT}\n{OUTPUT} ]",
        f"max_batch_size: 8 {INPUT}\n{OUTPUT} instance_group [ {{ kind: KIND_CPU, {{ count: 1 }} ]",
        f"max_batch_size: 8 {INPUT}\n{OUTPUT} dynamic_batching {{ ]",
    ],
)
def test_a_bracket_too_few_or_too_many_is_one_mistake(tmp_path: Path, text: str):
    problem = one(tmp_path, text)
    assert judged(tmp_path, apply_edits(text, problem.edits))[1] == []


def test_a_file_of_nothing_but_mistakes_is_told_with_the_first_hundred(tmp_path: Path):
    _, problems = judged(tmp_path, "zork: 1\n" * 100_000)
    assert len(problems) == 100


UNREADABLE = {
    b"\xff\xfen\0a\0m\0e\0": "UTF-16",
    b'name: "\xff"': "UTF-8",
    b"\x08\x0b\x12\x00\xff": "",
    b"": "",
    b"# caf\xe9\n": "",
    b"\0" * 1000: "U+0000",
}


@pytest.mark.parametrize("content", UNREADABLE)
def test_bytes_that_are_no_text(tmp_path: Path, content: bytes):
    path = tmp_path / "config.pbtxt"
    path.write_bytes(content)
    assert UNREADABLE[content] in "".join(problem.found for problem in read_config_file(path).problems)


def test_a_configuration_that_is_no_file_is_told_without_waiting_for_it(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("link")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate((1 << 20) + 1)
    for name, what in (
        ("folder", "a folder"),
        ("pipe", "a named pipe"),
        ("link", "symbolic links"),
        ("huge", "bytes"),
        ("nope", "No such file"),
        ("n" * 300, "too long"),
        ("a\0b", "null"),
    ):
        (problem,) = read_config_file(tmp_path / name).problems
        assert what in problem.found
        assert read_config_file(tmp_path / name).config == ModelConfig()


LONG = [
    "{" * 200_000,
    "[" * 200_000,
    "input {" * 50_000,
    "input { dims: [" + "[" * 100_000,
    "/*" * 100_000,
    '"' * 100_001,
    "a" * 900_000,
    "a " * 100_000,
    "name: " + "a " * 100_000,
    "max_batch_size: " + "9" * 900_000,
    "max_batch_size: " + "1," * 100_000,
    ";\n" * 100_000,
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:16])
def test_a_long_file_of_mistakes_is_told_in_few_words(tmp_path: Path, text: str):
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    problems = read_config_file(path).problems
    assert 1 <= len(problems) <= 100
    assert max(len(str(problem)) for problem in problems) < 2500


def test_a_long_list_on_one_line_is_read_whole(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_text(f"input {{ dims: [ {'7, ' * 20_000} 7 ] }}")
    assert len(read_config_file(path).config.input[0].dims) == 20_001


def test_control_characters_and_bytes_that_are_no_text_are_told_without_them(tmp_path: Path):
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'name: "\x1b[2J\xff"\nzork\x1b: 1\nmax_batch_size: \x1b\xfe\x00')
    told = "\n".join(map(str, read_config_file(path).problems))
    assert told.isascii()
    assert all(character.isprintable() for line in told.split("\n") for character in line)
