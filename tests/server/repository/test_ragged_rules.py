"""What cannot work of allow_ragged_batch, batch_input and batch_output is told by field, with what to do instead."""

from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from config_words import told
from tcli_server.repository import ModelFolder, complete_config, config_problems, signature_problems
from tcli_server.signature import ModelSignature, TensorSignature

MODEL = ModelSignature(
    (
        TensorSignature("x", "FP32", (-1,)),
        TensorSignature("ends", "INT32", (-1,)),
        TensorSignature("shapes", "FP32", (-1, 2)),
        TensorSignature("two", "INT32", (2,)),
        TensorSignature("long", "INT64", (-1,)),
        TensorSignature("wide", "FP32", (-1, 4)),
    ),
    (TensorSignature("y", "FP32", (-1, -1, 3)), TensorSignature("z", "FP32", (-1, 5))),
)
X = 'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] allow_ragged_batch: true }'
WIDE = 'input { name: "wide" data_type: TYPE_FP32 dims: [ 4 ] }'
OUTPUTS = """output { name: "y" data_type: TYPE_FP32 dims: [ -1, 3 ] }
output { name: "z" data_type: TYPE_FP32 dims: [ 5 ] }"""


def made(
    target: str = '"ends"', kind: str = "BATCH_ELEMENT_COUNT", data_type: str = "TYPE_INT32", source: str = '"x"'
) -> str:
    return f"batch_input {{ kind: {kind} target_name: {target} data_type: {data_type} source_input: {source} }}"


def divided(target: str = '"y"', source: str = '"x"') -> str:
    return f"batch_output {{ target_name: {target} source_input: {source} }}"


def problems(
    folder: Path, text: str, base: str = f"max_batch_size: 8\n{X}\n{WIDE}\n{OUTPUTS}"
) -> list[tuple[str, str]]:
    """Field and words of each problem, but for model inputs that the text does not care for."""
    found = told(folder, f"{base}\n{text}", MODEL)
    split = [words.partition(": ")[2].partition(": ")[::2] for words, _ in found]
    return [(field, words) for field, words in split if field != "input"]


RIGHT = [
    "",
    made(),
    made('[ "ends" ]', "BATCH_ACCUMULATED_ELEMENT_COUNT"),
    made('"ends"', "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"),
    made('"ends"', "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"),
    made('"ends"', "BATCH_ITEM_SHAPE_FLATTEN"),
    made('"shapes"', "BATCH_ITEM_SHAPE", "TYPE_FP32"),
    made(source='"wide"'),  # the source need not be ragged
    divided(),
    divided('"z"', '"wide"'),
    made() + divided() + made('"shapes"', "BATCH_ITEM_SHAPE", "TYPE_FP32"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_works_is_taken(tmp_path: Path, text: str):
    assert problems(tmp_path, text) == []


WRONG = [
    ("batch_input { kind: BATCH_ITEM_SHAPE }", "batch_input[0].target_name", "found nothing"),
    ("batch_input { kind: BATCH_ITEM_SHAPE }", "batch_input[0].data_type", "expected TYPE_INT32 or TYPE_FP32"),
    ("batch_input { kind: BATCH_ITEM_SHAPE }", "batch_input[0].source_input", "expected the name of one input"),
    (made('""'), "batch_input[0].target_name[0]", "an empty name"),
    (made('[ "ends", "ends" ]'), "batch_input[0].target_name[1]", "'ends', which is in batch_input[0].target_name[0] too"),
    (made() + made(), "batch_input[1].target_name[0]", "'ends', which is in batch_input[0].target_name[0] too"),
    (made('"x"', data_type="TYPE_FP32"), "batch_input[0].target_name[0]", "'x', which is in input[0] too"),
    (made('"end"'), "batch_input[0].target_name[0]", "'end', expected an input of the model file: 'x', 'ends'"),
    (made(data_type="TYPE_INT64"), "batch_input[0].data_type", "found INT64, expected TYPE_INT32 or TYPE_FP32"),
    (made(data_type="TYPE_FP32"), "batch_input[0].data_type", "found TYPE_FP32 for 'ends', expected INT32"),
    (made('"long"'), "batch_input[0].data_type", "export the model with an INT32 input"),
    (made('"shapes"', data_type="TYPE_FP32") + " dynamic_batching { }", "batch_input[0].kind", "which has shape [ -1, 2 ] in the model file, expected shape [ -1 ]"),
    (made('"two"') + " dynamic_batching { }", "batch_input[0].kind", "which has shape [ 2 ] in the model file, expected shape [ -1 ]"),
    (made('"shapes"', "BATCH_ITEM_SHAPE", "TYPE_FP32", '"wide"'), "batch_input[0].kind", "expected shape [ -1, 1 ]"),
    (made(source='"xx"'), "batch_input[0].source_input[0]", "'xx', expected an input of this configuration: 'x', 'wide'"),
    (made(source='[ "x", "wide" ]'), "batch_input[0].source_input", "found 2 names"),
    (made(source='"ends"'), "batch_input[0].source_input[0]", "'ends', expected an input of this configuration"),
    ("batch_output { }", "batch_output[0].target_name", "found nothing"),
    ("batch_output { }", "batch_output[0].source_input", "found nothing"),
    (divided('"q"'), "batch_output[0].target_name[0]", "'q', expected an output of this configuration: 'y', 'z'"),
    (divided('[ "y", "y" ]'), "batch_output[0].target_name[1]", "which is in batch_output[0].target_name[0] too"),
    (divided() + divided(), "batch_output[1].target_name[0]", "which is in batch_output[0].target_name[0] too"),
    (divided(source='"y"'), "batch_output[0].source_input[0]", "'y', expected an input of this configuration"),
    (divided('"z"', source='"xy"'), "batch_output[0].source_input[0]", "'xy'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "field", "words"), WRONG)
def test_what_cannot_work_is_told_by_its_field(tmp_path: Path, text: str, field: str, words: str):
    found = problems(tmp_path, text)
    assert field in [name for name, _ in found]
    assert words in dict(reversed(found))[field]


SPLIT = f"max_batch_size: 8\n{X}\n{WIDE}\n"
OTHERWISE = [
    (
        f'{SPLIT}output {{ name: "y" data_type: TYPE_FP32 dims: [ 3, -1 ] }}\n{divided(source=chr(34) + "wide" + chr(34))}',
        "output[0].dims",
        "[3, -1], where dimension 1 varies, expected the size of each dimension from 1 on, as the source input 'wide'",
    ),
    (
        f"{OUTPUTS}\n{X.replace('true', 'true optional: true')}",
        "input[0].optional",
        "false, as an input with allow_ragged_batch is in every request",
    ),
    (
        f"{SPLIT.replace('dims: [ 4 ]', 'dims: [ 4 ] optional: true')}{OUTPUTS}{made(source=chr(34) + 'wide' + chr(34))}",
        "batch_input[0].source_input[0]",
        "'wide', which is optional, expected an input that is in every request",
    ),
    (
        f"{SPLIT.replace(' dims: [ 4 ]', ' dims: [ 4 ] allow_ragged_batch: true')}{OUTPUTS}",
        "input[1].allow_ragged_batch",
        "true for 'wide', which has shape [ -1, 4 ] in the model file, expected shape [ -1 ] in the model file",
    ),
    (
        f"{X}\n{OUTPUTS}\n{made(kind='BATCH_ITEM_SHAPE_FLATTEN')}",
        "batch_input[0].kind",
        "BATCH_ITEM_SHAPE_FLATTEN with max_batch_size: 0, expected max_batch_size of 1 or more",
    ),
    (
        'platform: "ensemble" ensemble_scheduling { } batch_input { } batch_output { }',
        "batch_input",
        "expected nothing, as the models of an ensemble's steps have their own",
    ),
    (
        f"{SPLIT}{OUTPUTS}{made()}sequence_batching {{ control_input {{ "
        'name: "ends" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } } }',
        "batch_input[0].target_name[0]",
        "'ends', which is in sequence_batching.control_input[0] too",
    ),
    (
        f"{SPLIT}{OUTPUTS}{divided()}sequence_batching {{ state {{ "
        'input_name: "s" output_name: "y" data_type: TYPE_FP32 dims: 1 } }',
        "batch_output[0].target_name[0]",
        "'y', which is in sequence_batching.state[0] too",
    ),
]


@pytest.mark.parametrize(("text", "field", "words"), OTHERWISE)
def test_what_does_not_go_with_the_rest_is_told_by_its_field(tmp_path: Path, text: str, field: str, words: str):
    found = problems(tmp_path, text, base="")
    assert field in [name for name, _ in found]
    assert words in dict(reversed(found))[field]


FIXES = [
    (made(data_type="TYPE_FP32"), made()),
    (made(data_type="TYPE_INT64"), made()),
    (made().replace("data_type: TYPE_INT32 ", ""), made()),
    (made('"end"'), made()),
    (made(source='"xx"'), made()),
    (divided('"yy"'), divided()),
]


@pytest.mark.parametrize(("text", "right"), FIXES)
def test_a_program_can_make_the_fix(tmp_path: Path, text: str, right: str):
    base = f"max_batch_size: 8\n{X}\n{WIDE}\n{OUTPUTS}\n"
    ((_, fixed),) = {pair for pair in told(tmp_path, base + text, MODEL) if ": input: " not in pair[0]}
    assert fixed is not None
    assert text_format.Parse(fixed, ModelConfig()) == text_format.Parse(base + right, ModelConfig())


MADE = [
    ("BATCH_ELEMENT_COUNT", 1, True, (1,)),
    ("BATCH_ELEMENT_COUNT", 4, False, (1,)),  # requests run one by one
    ("BATCH_ELEMENT_COUNT", 4, True, (-1,)),
    ("BATCH_ACCUMULATED_ELEMENT_COUNT", 0, False, (1,)),
    ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", 4, False, (2,)),
    ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", 4, True, (-1,)),
    ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", 1, True, (12,)),
    ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", 2, False, (-1,)),
    ("BATCH_ITEM_SHAPE", 1, True, (1, 2)),
    ("BATCH_ITEM_SHAPE", 2, False, (-1, 2)),
    ("BATCH_ITEM_SHAPE_FLATTEN", 1, True, (2,)),
    ("BATCH_ITEM_SHAPE_FLATTEN", 2, False, (-1,)),
]


@pytest.mark.parametrize(("kind", "max_batch_size", "batching", "shape"), MADE)
def test_a_model_file_may_fix_what_never_varies(
    tmp_path: Path, kind: str, max_batch_size: int, batching: bool, shape: tuple[int, ...]
):
    """The source has 12 elements an item, in two dimensions of the model's."""
    text = f"""max_batch_size: {max_batch_size} {"dynamic_batching { }" if batching else ""}
        input {{ name: "x" data_type: TYPE_FP32 dims: [ 12 ] reshape {{ shape: [ 3, 4 ] }} allow_ragged_batch: true }}
        {made(kind=kind)}"""

    def fitting(*dims: int) -> list[str]:
        model = ModelSignature((TensorSignature("x", "FP32", (-1,)), TensorSignature("ends", "INT32", dims)), ())
        found = signature_problems(text_format.Parse(text, ModelConfig()), model, ModelFolder("m", tmp_path))
        assert {problem.field for problem in found} <= {"batch_input[0].kind"}
        return [problem.expected for problem in found]

    assert fitting(*shape) == fitting(*(-1 for _ in shape)) == []
    expected = f"shape [ {', '.join(map(str, shape))} ] in the model file"
    assert fitting(*shape, -1) == [expected]
    assert fitting(*shape[:-1], 7) == [expected]


def test_a_size_that_varies_is_not_fixed_by_a_batch_of_one(tmp_path: Path):
    text = f"max_batch_size: 1 {X} {made(kind='BATCH_MAX_ELEMENT_COUNT_AS_SHAPE')}"
    model = ModelSignature((TensorSignature("x", "FP32", (-1,)), TensorSignature("ends", "INT32", (3,))), ())
    (problem,) = signature_problems(text_format.Parse(text, ModelConfig()), model, ModelFolder("m", tmp_path))
    assert "expected shape [ -1 ]" in str(problem)


def test_the_fix_names_what_was_meant_if_anything_was(tmp_path: Path):
    assert problems(tmp_path, made('"end"'))[0][1].endswith('fix: write "ends"')
    assert problems(tmp_path, made('"zork"'))[0][1].endswith("fix: use one of these names")
    assert problems(tmp_path, made(source='"xx"'))[0][1].endswith('fix: write "x"')
    assert problems(tmp_path, made(source='"zork"'))[0][1].endswith("fix: use one of these names")
    assert problems(tmp_path, made(data_type="TYPE_FP32"))[0][1].endswith("fix: write data_type: TYPE_INT32")
    assert problems(tmp_path, made(), base="max_batch_size: 8")[0][1].endswith("fix: list that input")


def test_numbers_that_are_no_kind_are_told(tmp_path: Path):
    folder = ModelFolder("m", tmp_path)
    for item in ("batchInput", "batchOutput"):
        config = json_format.ParseDict({item: [{"kind": 9, "targetName": ["y"]}]}, ModelConfig())
        found = {problem.field: problem.expected for problem in config_problems(config, folder)}
        name = item.replace("I", "_i").replace("O", "_o")
        assert found[f"{name}[0].kind"].startswith("one of BATCH_")


def test_what_is_completed_is_judged_when_it_is_complete(tmp_path: Path):
    folder = ModelFolder("m", tmp_path)
    config = text_format.Parse("max_batch_size: 8 " + divided('[ "y", "q" ]'), ModelConfig())
    assert config_problems(config, folder) == []
    model = ModelSignature(MODEL.inputs[:1], MODEL.outputs[:1])
    complete_config(config, folder, model)
    fields = [problem.field for problem in signature_problems(config, model, folder)]
    assert fields == ["output[0].dims", "batch_output[0].target_name[1]"]  # 'x' is nothing but its batch dimension
