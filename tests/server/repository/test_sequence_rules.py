"""What Triton refuses of sequence batching is refused, by the field that is wrong; what it takes is taken."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository import ModelFolder, config_problems, signature_problems
from tcli_server.signature import ModelSignature, TensorSignature

START = 'control_input { name: "S" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }'
STATE = 'input_name: "I" output_name: "O" data_type: TYPE_FP32 dims: [ 2 ]'
INITIAL = 'name: "first" data_type: TYPE_FP32 dims: [ 2 ]'
STRINGS = (
    'state {{ input_name: "I" output_name: "O" data_type: TYPE_STRING dims: [ 2 ] initial_state '
    '{{ name: "first" data_type: TYPE_STRING dims: [ 2 ] data_file: "{}" }} }}'
)


def control(text: str) -> str:
    return f'control_input {{ name: "S" control {{ {text} }} }}'


def state(text: str = "", base: str = STATE) -> str:
    return f"state {{ {base} {text} }}"


def initial(text: str, base: str = INITIAL) -> str:
    return state(f"initial_state {{ {base} {text} }}")


RIGHT = [
    "",
    "direct { }",
    "direct { minimum_slot_utilization: 1 max_queue_delay_microseconds: 5 }",
    "oldest { max_candidate_sequences: 3 preferred_batch_size: [ 2, 4 ] }",
    START,
    control("kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ]"),
    control("kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ]"),
    *(
        control(f"kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{kind}")
        for kind in ("UINT64", "INT64", "UINT32", "INT32", "STRING")
    ),
    state(),
    initial("zero_data: true"),
    initial('data_file: "eight"'),
    STRINGS.format("words"),
    state("use_same_buffer_for_input_output: true"),
]
WRONG = [
    ("direct { minimum_slot_utilization: 1.5 }", "direct.minimum_slot_utilization"),
    ("direct { minimum_slot_utilization: -0.1 }", "direct.minimum_slot_utilization"),
    ("oldest { preferred_batch_size: [ 2, 9 ] }", "oldest.preferred_batch_size[1]"),
    ("oldest { preferred_batch_size: [ 0 ] }", "oldest.preferred_batch_size[0]"),
    (START.replace('"S"', '""'), "control_input[0].name"),
    (START + START, "control_input[1].name"),
    (START + START, "control_input[1].control[0].kind"),
    ('control_input { name: "S" }', "control_input[0]"),
    (control("kind: CONTROL_SEQUENCE_START"), "control_input[0].control[0]"),
    (control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0 ]"), "control_input[0].control[0].int32_false_true"),
    (
        control("kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] fp32_false_true: [ 0, 1 ]"),
        "control_input[0].control[0]",
    ),
    (control("kind: CONTROL_SEQUENCE_CORRID"), "control_input[0].control[0].data_type"),
    (control("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32"), "control_input[0].control[0].data_type"),
    (
        control("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT32 int32_false_true: [ 0, 1 ]"),
        "control_input[0].control[0].int32_false_true",
    ),
    (state(base='output_name: "O" data_type: TYPE_FP32 dims: [ 2 ]'), "state[0].input_name"),
    (state(base='input_name: "I" data_type: TYPE_FP32 dims: [ 2 ]'), "state[0].output_name"),
    (state(base='input_name: "I" output_name: "O" dims: [ 2 ]'), "state[0].data_type"),
    (state(base='input_name: "I" output_name: "O" data_type: TYPE_FP32'), "state[0].dims"),
    (state(base=STATE.replace("[ 2 ]", "[ 0 ]")), "state[0].dims[0]"),
    (state("use_growable_memory: true"), "state[0].use_growable_memory"),
    (
        state("use_growable_memory: true use_same_buffer_for_input_output: true"),
        "state[0].use_growable_memory",
    ),
    (initial("zero_data: true", INITIAL.replace('name: "first"', "")), "state[0].initial_state[0].name"),
    (initial("zero_data: true", INITIAL.replace("FP32", "INT32")), "state[0].initial_state[0].data_type"),
    (initial("zero_data: true", INITIAL.replace("[ 2 ]", "[ -1 ]")), "state[0].initial_state[0].dims"),
    (initial("zero_data: true", INITIAL.replace("[ 2 ]", "[ 3 ]")), "state[0].initial_state[0].dims"),
    (initial(""), "state[0].initial_state[0]"),
    (initial('data_file: "absent"'), "state[0].initial_state[0].data_file"),
    (initial('data_file: "seven"'), "state[0].initial_state[0].data_file"),
    *((STRINGS.format(name), "state[0].initial_state[0].data_file") for name in ("absent", "seven", "one", "longer")),
    (
        state(f"initial_state {{ {INITIAL} zero_data: true }} initial_state {{ {INITIAL} zero_data: true }}"),
        "state[0].initial_state[1]",
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    files = tmp_path / "m" / "initial_state"
    files.mkdir(parents=True)
    for name, size in (("seven", 7), ("eight", 8)):
        (files / name).write_bytes(bytes(size))
    (files / "words").write_bytes(b"\x03\0\0\0one\0\0\0\0")
    (files / "one").write_bytes(b"\x03\0\0\0one")
    (files / "longer").write_bytes(b"\x64\0\0\0\x01\0\0\0a")
    return ModelFolder("m", tmp_path / "m")


def parse(text: str, before: str = "max_batch_size: 8") -> ModelConfig:
    return text_format.Parse(f"{before} sequence_batching {{ {text} }}", ModelConfig())


@pytest.mark.parametrize("text", RIGHT)
def test_what_triton_takes_is_right(folder: ModelFolder, text: str):
    assert config_problems(parse(text), folder) == []


@pytest.mark.parametrize(("text", "field"), WRONG)
def test_what_triton_refuses_is_told_with_its_place(folder: ModelFolder, text: str, field: str):
    problems = config_problems(parse(text), folder)
    assert f"sequence_batching.{field}" in [problem.field for problem in problems]
    assert all(problem.found and problem.expected and problem.fix for problem in problems)


def test_a_control_is_no_input_that_clients_send(folder: ModelFolder):
    listed = 'input { name: "S" data_type: TYPE_INT32 dims: [ 1 ] }'
    problems = config_problems(parse(START, listed), folder)
    assert [problem.field for problem in problems] == ["input[0].name"]


def tensors(**kinds: str) -> tuple[TensorSignature, ...]:
    return tuple(TensorSignature(name, kind, (-1, 1)) for name, kind in kinds.items())


@pytest.mark.parametrize(
    ("inputs", "outputs", "fields"),
    [
        ({"S": "INT32", "I": "FP32"}, {"O": "FP32"}, []),
        ({"I": "FP32"}, {"O": "FP32"}, ["control_input[0].name"]),
        ({"S": "INT64", "I": "FP32"}, {"O": "FP32"}, ["control_input[0].name"]),
        ({"S": "INT32"}, {"O": "FP32"}, ["state[0].input_name"]),
        ({"S": "INT32", "I": "FP16"}, {"O": "INT32"}, ["state[0].input_name", "state[0].output_name"]),
        ({"S": "INT32", "I": "FP32"}, {"Y": "FP32"}, ["state[0].output_name"]),
    ],
)
def test_controls_and_states_are_in_the_model_file(folder: ModelFolder, inputs: dict, outputs: dict, fields: list[str]):
    config = parse(START + state())
    problems = signature_problems(config, ModelSignature(tensors(**inputs), tensors(**outputs)), folder)
    assert [problem.field for problem in problems] == [f"sequence_batching.{field}" for field in fields]
