"""Words of other tools for types, formats, kinds and fields: what is meant by them here."""

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInput, ModelInstanceGroup

from tcli_server.repository import Problem, read_config_file

TYPES = {
    "BF16": "bfloat bfloat16",
    "BOOL": "bool boolean",
    "STRING": "bytes object str text string",
    "FP64": "double float64 f64",
    "FP32": "float float32 f32 single torch.float32",
    "FP16": "half float16 f16 DT_HALF tensor(float16)",
    "INT64": "long longlong i64 s64 int64",
    "INT32": "i32 s32 ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32",
    "INT16": "short i16 s16",
    "INT8": "i8 s8",
    "UINT64": "u64",
    "UINT32": "u32",
    "UINT16": "u16",
    "UINT8": "u8 UNIT8 np.uint8",
}
NOT_ONE = {
    "byte": "TYPE_UINT8 or TYPE_INT8",
    "char": "TYPE_INT8 or TYPE_STRING",
    "fp": "TYPE_FP32 or TYPE_FP16",
    "integer": "TYPE_INT32 or TYPE_INT64",
    "uint": "TYPE_UINT32 or TYPE_UINT64",
    "f8": "one of these",
    "i128": "one of these",
    "x" * 61: "one of these",
}


def read(folder: Path, text: str) -> tuple[ModelConfig, list[Problem]]:
    path = folder / "config.pbtxt"
    path.write_text(text)
    file = read_config_file(path)
    return file.config, file.problems


def test_every_word_for_a_type_is_understood(tmp_path: Path):
    words = {word: name for name, words in TYPES.items() for word in words.split()}
    config, problems = read(tmp_path, "\n".join(f'input {{ name: "{word}" data_type: {word} }}' for word in words))
    assert {tensor.name: DataType.Name(tensor.data_type) for tensor in config.input} == {
        word: f"TYPE_{name}" for word, name in words.items()
    }
    assert [problem.fix for problem in problems] == [f"write TYPE_{name}" for name in words.values()]


def test_a_word_that_may_mean_several_types_or_none_is_asked_about(tmp_path: Path):
    _, problems = read(tmp_path, "\n".join(f"input {{ data_type: {word} }}" for word in NOT_ONE))
    assert [problem.fix for problem in problems] == [f"write {right}" for right in NOT_ONE.values()]
    assert not any(problem.edits for problem in problems)


def test_words_for_formats_and_kinds(tmp_path: Path):
    formats = {"channels_first": 2, "CHW": 2, "nchw": 2, "channels-last": 1, "hwc": 1, "FORMAT_NHCW": 0}
    config, _ = read(tmp_path, "\n".join(f"input {{ format: {word} }}" for word in formats))
    assert [tensor.format for tensor in config.input][:5] == list(formats.values())[:5]
    assert (ModelInput.FORMAT_NHWC, ModelInput.FORMAT_NCHW) == (1, 2)
    config, _ = read(tmp_path, "instance_group [ { kind: cuda }, { kind: cpu }, { kind: KIND_GPUU } ]")
    kinds = (ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_GPU)
    assert tuple(group.kind for group in config.instance_group) == kinds


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("input { dtype: TYPE_FP32 }", "data_type"),
        ("input { datatype: TYPE_FP32 }", "data_type"),
        ("input { type: TYPE_FP32 }", "data_type"),
        ("input { shape: 1 }", "dims"),
        ("inputs { }", "input"),
        ("instance_groupes { }", "instance_group"),
        ('backend_name: "x"', "backend"),
        ("batch_size: 1", "max_batch_size"),
        ("dynamicBatching { }", "dynamic_batching"),
        ("dynamic_batchin { }", "dynamic_batching"),
        ("dynamic_batching { preferred_size: 1 }", "preferred_batch_size"),
        ("input { data: 1 }", None),
        ("input { allow: 1 }", None),
        ("batching { }", None),
    ],
)
def test_words_for_fields(tmp_path: Path, text: str, meant: str | None):
    _, (problem,) = read(tmp_path, text)
    assert problem.fix == (f"write {meant}" if meant else "remove it")
