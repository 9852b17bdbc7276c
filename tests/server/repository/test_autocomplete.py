"""Triton's rules for filling in what a configuration leaves out, and for comparing it with the model file."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import ConfigError, InvalidArgumentError
from tcli_server.models.choose_backend import infer_backend, name_backend
from tcli_server.repository import ModelFolder, Positions, complete_config, signature_problems
from tcli_server.signature import ModelSignature, TensorSignature

BATCHING = ModelSignature((TensorSignature("x", "FP32", (-1, 3, -1)),), (TensorSignature("y", "BYTES", (-1,)),))
FIXED = ModelSignature((TensorSignature("x", "FP32", (1, 3)),), (TensorSignature("y", "FP32", (-1, 5)),))
SCALAR = ModelSignature((TensorSignature("x", "FP32", ()),), (TensorSignature("y", "FP32", (2,)),))
FOLDER = ModelFolder("m", Path("m"))


def parse(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


def completed(text: str, signature: ModelSignature, default: int = 4) -> ModelConfig:
    config = parse(text)
    complete_config(config, FOLDER, signature, default)
    return config


def test_a_model_that_can_batch():
    assert completed("", BATCHING) == parse(
        'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] }'
        'output { name: "y" data_type: TYPE_STRING dims: [ 1 ] reshape { } } dynamic_batching { }'
    )


def test_a_model_that_cannot_batch():
    assert completed("", FIXED) == parse(
        'input { name: "x" data_type: TYPE_FP32 dims: [ 1, 3 ] } output { name: "y" data_type: TYPE_FP32 dims: [ -1, 5 ] }'
    )


def test_a_batch_of_one_has_a_batch_dimension_too():
    config = completed("", BATCHING, 1)
    assert config.input[0].dims == [3, -1]
    assert config.output[0] == parse('output { name: "y" data_type: TYPE_STRING dims: 1 reshape { } }').output[0]


def test_a_type_that_triton_has_no_name_for_is_told():
    signature = ModelSignature((TensorSignature("x", "COMPLEX64", (-1, 2)),), ())
    with pytest.raises(InvalidArgumentError, match="tensor 'x' of the model file has type COMPLEX64"):
        completed("", signature)


def test_a_scalar():
    assert completed("", SCALAR).input[0] == parse('input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }').input[0]


@pytest.mark.parametrize(
    ("text", "default", "max_batch_size", "scheduler"),
    [
        ("", 1, 1, None),
        ("", 0, 0, None),
        ("", -1, 0, None),
        ("", 2, 2, "dynamic_batching"),
        ("max_batch_size: 16", 4, 16, "dynamic_batching"),
        ("max_batch_size: 1", 4, 1, None),
        ("sequence_batching { }", 4, 4, "sequence_batching"),
        ('input { name: "x" }', 4, 4, "dynamic_batching"),
        ('input { name: "x" } output { name: "y" }', 4, 0, None),
        ('batch_input { } output { name: "y" }', 4, 0, None),
    ],
)
def test_batch_size_and_scheduler(text: str, default: int, max_batch_size: int, scheduler: str | None):
    config = completed(text, BATCHING, default)
    assert config.max_batch_size == max_batch_size
    assert config.WhichOneof("scheduling_choice") == scheduler


def test_half_a_configuration_gets_only_the_other_half():
    config = completed('output { name: "mine" }', BATCHING)
    assert [tensor.name for tensor in config.output] == ["mine"]
    assert [tensor.name for tensor in config.input] == ["x"]


def test_a_batch_size_for_a_model_that_cannot_batch_is_refused():
    with pytest.raises(ConfigError, match="model does not support batching while non-zero max_batch_size") as refused:
        completed("max_batch_size: 1", FIXED)
    (problem,) = refused.value.problems
    assert (problem.line, problem.field) == (None, "max_batch_size")
    assert problem.found.endswith("'x' has shape [1, 3])")
    positions = Positions('name: "m"\nmax_batch_size: 1')
    positions.record("max_batch_size", 2)
    with pytest.raises(ConfigError) as refused:
        complete_config(ModelConfig(max_batch_size=1), FOLDER, FIXED, positions=positions)
    assert refused.value.problems[0].line == 2


@pytest.mark.parametrize(
    ("text", "files", "backend"),
    [
        ("", ["model.onnx"], "onnxruntime"),
        ("", ["model.py"], "python"),
        ("", ["model.plan", "model.onnx"], "tensorrt"),
        ("", ["model.savedmodel", "model.onnx"], "tensorflow"),
        ("", ["model.pt2", "model.py"], "pytorch"),
        ('platform: "torch_aoti"', [], "pytorch"),
        ('platform: "onnxruntime_onnx"', [], "onnxruntime"),
        ('default_model_filename: "model.onnx"', ["model.py"], "onnxruntime"),
        ('default_model_filename: "net.onnx"', [], "onnxruntime"),
        ('backend: "mine"', ["model.onnx"], "mine"),
    ],
)
def test_the_backend_is_inferred(tmp_path: Path, text: str, files: list[str], backend: str):
    (tmp_path / "1").mkdir()
    for file in files:
        (tmp_path / "1" / file).write_text("")
    config = parse(text)
    infer_backend(config, ModelFolder("m", tmp_path))
    assert config.backend == backend
    assert config.name == "m"
    if backend == "onnxruntime":
        assert config.platform == "onnxruntime_onnx"
        assert config.default_model_filename.endswith(".onnx")


def test_a_file_of_another_of_the_backends_names_is_found(tmp_path: Path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.pt2").write_text("")
    for text in ("", 'backend: "pytorch"'):
        config = parse(text)
        infer_backend(config, ModelFolder("m", tmp_path))
        assert config.default_model_filename == "model.pt2"
    config = parse('platform: "pytorch_libtorch"')
    name_backend(config, ModelFolder("m", tmp_path))
    assert config.default_model_filename == "model.pt2"


def test_a_backend_that_nothing_tells_is_asked_for(tmp_path: Path):
    (tmp_path / "1").mkdir()
    with pytest.raises(InvalidArgumentError, match=r"1/model\.onnx"):
        infer_backend(ModelConfig(), ModelFolder("m", tmp_path))
    with pytest.raises(InvalidArgumentError, match="unexpected platform type 'x'"):
        infer_backend(ModelConfig(platform="x"), ModelFolder("m", tmp_path))


IMAGE = ModelSignature(
    (TensorSignature("data", "FP32", (-1, 3, 224, 224)), TensorSignature("size", "INT64", (-1, 2))),
    (TensorSignature("classes", "FP32", (-1, 10)),),
)
SIZE = 'input { name: "size" data_type: TYPE_INT64 dims: [ 2 ] }'
CLASSES = 'output { name: "classes" data_type: TYPE_FP32 dims: [ 10 ] }'


def data(dims: str, more: str = "", kind: str = "TYPE_FP32", name: str = "data") -> str:
    return f'input {{ name: "{name}" data_type: {kind} dims: [ {dims} ] {more} }}'


@pytest.mark.parametrize(
    ("text", "field", "fix"),
    [
        (f"{data('-1, 3, 224, 224')} {SIZE} {CLASSES}", "input[0].dims", "leave out the first dimension: dims: [ 3, 224, 224 ]"),
        (f"{data('1, 3, 224, 224')} {SIZE} {CLASSES}", "input[0].dims", "leave out the first dimension: dims: [ 3, 224, 224 ]"),
        (f"{data('3, 224')} {SIZE} {CLASSES}", "input[0].dims", "write dims: [ 3, 224, 224 ]"),
        (f"{data('3, 224, -1')} {SIZE} {CLASSES}", "input[0].dims", "write dims: [ 3, 224, 224 ]"),
        (f"{data('3, 224, 224', kind='TYPE_FP16')} {SIZE} {CLASSES}", "input[0].data_type", "write data_type: TYPE_FP32"),
        (f"{data('3, 224, 224', name='date')} {SIZE} {CLASSES}", "input[0].name", 'write name: "data"'),
        (f"{data('3, 224, 224')} {CLASSES}", "input", "add an input 'size' with data_type TYPE_INT64 and dims [ 2 ]"),
        (
            f"{data('3, 224, 224')} {SIZE} output {{ name: \"classes\" data_type: TYPE_FP32 dims: [ 11 ] }}",
            "output[0].dims",
            "write dims: [ 10 ]",
        ),
    ],
)  # fmt: skip
def test_a_configuration_that_does_not_fit_the_model_file(text: str, field: str, fix: str):
    problems = signature_problems(parse(f"max_batch_size: 8 {text}"), IMAGE, FOLDER)
    assert (field, fix) in [(problem.field, problem.fix) for problem in problems]


def test_a_configuration_that_fits():
    assert signature_problems(parse(f"max_batch_size: 8 {data('3, 224, 224')} {SIZE} {CLASSES}"), IMAGE, FOLDER) == []
    reshaped = data("150528", "reshape { shape: [ 3, 224, 224 ] }")
    assert signature_problems(parse(f"max_batch_size: 8 {reshaped} {SIZE} {CLASSES}"), IMAGE, FOLDER) == []


def test_a_batch_size_of_one_is_a_batch_too():
    text = 'max_batch_size: 1 input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] }'
    (problem,) = signature_problems(parse(text), FIXED, FOLDER)
    assert problem.field == "max_batch_size"


def test_a_name_that_nothing_resembles_is_not_guessed():
    (problem, *_) = signature_problems(parse(f"max_batch_size: 8 {data('3', name='zork')}"), IMAGE, FOLDER)
    assert (problem.field, problem.fix, problem.edits) == ("input[0].name", "use one of these names", ())


def test_a_reshape_that_does_not_fit_the_file_is_corrected_in_its_own_words():
    wrong = data("150528", "reshape { shape: [ 3, 224, 225 ] }")
    (problem,) = signature_problems(parse(f"max_batch_size: 8 {wrong} {SIZE} {CLASSES}"), IMAGE, FOLDER)
    assert (problem.field, problem.fix) == ("input[0].reshape.shape", "write shape: [ 3, 224, 224 ]")


def test_without_batching_all_dimensions_are_listed():
    problems = signature_problems(parse(f"{data('3, 224, 224')} {SIZE} {CLASSES}"), IMAGE, FOLDER)
    assert {problem.field for problem in problems} == {"input[0].dims", "input[1].dims", "output[0].dims"}
    assert "set max_batch_size to 1 or more" in problems[0].fix
    fixed = ModelSignature((TensorSignature("data", "FP32", (1, 3, 4)),), (TensorSignature("o", "FP32", (1, 2)),))
    (problem,) = signature_problems(
        parse(f'{data("3, 4")} output {{ name: "o" data_type: TYPE_FP32 dims: [ 1, 2 ] }}'), fixed, FOLDER
    )
    assert "add reshape { shape: [ 1, 3, 4 ] }" in problem.fix


def test_a_model_file_that_cannot_batch_is_told_once():
    text = 'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] }'
    (problem,) = signature_problems(parse(text), FIXED, FOLDER)
    assert problem.field == "max_batch_size"
    assert "'x' has shape [ 1, 3 ]" in problem.found


def test_an_input_with_a_default_may_be_listed_or_left_out():
    signature = ModelSignature(BATCHING.inputs, BATCHING.outputs, (TensorSignature("scale", "FP32", (-1, 1)),))
    base = 'max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }'
    listed = f'{base} input {{ name: "scale" data_type: TYPE_FP32 dims: [ 1 ] }}'
    assert signature_problems(parse(base), signature, FOLDER) == []
    assert signature_problems(parse(listed), signature, FOLDER) == []


def test_what_the_server_feeds_is_no_missing_input():
    names = ("x", "START", "state", "lengths")
    tensors = tuple(TensorSignature(name, "INT32", (-1,) if name == "lengths" else (-1, 1)) for name in names)
    signature = ModelSignature(tensors, (TensorSignature("y", "INT32", (-1, 1)),))
    text = """max_batch_size: 8 input { name: "x" data_type: TYPE_INT32 dims: [ 1 ] }
        sequence_batching {
          control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
          state { input_name: "state" output_name: "y" }
        }
        batch_input { kind: BATCH_ELEMENT_COUNT target_name: "lengths" data_type: TYPE_INT32 source_input: "x" }"""
    assert signature_problems(parse(text), signature, FOLDER) == []


def test_a_misspelt_input_is_not_told_as_missing_too():
    text = f"max_batch_size: 8 {data('3, 224, 224', name='date')} {SIZE} {CLASSES}"
    assert [problem.field for problem in signature_problems(parse(text), IMAGE, FOLDER)] == ["input[0].name"]


def test_dims_that_are_none_and_batch_sizes_that_are_none_are_not_compared():
    assert signature_problems(parse(f"max_batch_size: 8 {data('0, 224')} {SIZE} {CLASSES}"), IMAGE, FOLDER) == []
    assert signature_problems(parse(f"max_batch_size: -1 {data('3, 224')} {SIZE} {CLASSES}"), IMAGE, FOLDER) == []


def test_a_model_file_that_cannot_batch_is_told_once_however_many_inputs_it_has():
    signature = ModelSignature(
        (TensorSignature("x", "FP32", (1, 3)), TensorSignature("w", "FP32", (1, 4))),
        (TensorSignature("y", "FP32", (1, 5)),),
    )
    text = "".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: [ {size} ] }}'
        for kind, name, size in (("input", "x", 3), ("input", "w", 4), ("output", "y", 5))
    )
    (problem,) = signature_problems(parse(f"max_batch_size: 4 {text}"), signature, FOLDER)
    assert problem.field == "max_batch_size"


def test_a_tensor_of_nothing_but_a_batch_dimension_is_never_told_to_have_no_dims():
    output = ModelSignature(BATCHING.inputs, (TensorSignature("y", "BYTES", (-1,)),))
    text = """max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 3, 7 ] }
        output { name: "y" data_type: TYPE_STRING dims: [ 5 ] }"""
    (problem,) = signature_problems(parse(text), output, FOLDER)
    assert problem.fix == "write dims: [ 1 ] and reshape { shape: [ ] }"
