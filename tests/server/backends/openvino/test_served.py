"""OpenVINO models over HTTP and gRPC, compared with OpenVINO's own answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from serve_command import Serving, serving

pytest.importorskip("openvino")

import openvino as ov
import openvino.opset15 as ops

import onnx_models
from openvino_models import TFLITE, TYPES, add_sub, named, own_answers, parameter, product, save, text

Ask = Callable[..., list[np.ndarray]]

BY_ONNX = 'backend: "openvino"\ndefault_model_filename: "model.onnx"\n'


def scalar() -> ov.Model:
    x = parameter("X", shape=())
    return ov.Model([named(ops.multiply(x, ops.constant(np.float32(2))), "Y")], [x], "scalar")


def many_outputs() -> ov.Model:
    x = parameter("X", shape=(-1, 6))
    outputs = [named(ops.add(x, ops.constant(np.float32(number))), f"Y{number}") for number in range(6)]
    shape = named(ops.shape_of(x), "SHAPE")
    return ov.Model([*outputs, shape], [x], "many")


def any_size() -> ov.Model:
    x = parameter("X", shape=(-1, -1, 3))
    return ov.Model([named(ops.reduce_sum(x, ops.constant(np.array([1])), False), "Y")], [x], "any_size")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    for datatype, (kind, _) in TYPES.items():
        save(add_sub(kind), models, f"add_sub_{datatype}")
    save(text(), models, "text")
    save(scalar(), models, "scalar")
    save(many_outputs(), models, "many_outputs")
    save(any_size(), models, "any_size")
    save(product(), models, "product")
    save(product((1, 16)), models, "fixed")
    save(product((1, 16)), models, "fixed_batched", "max_batch_size: 8")
    for name, content, config in (("onnx", onnx_models.add_sub(), BY_ONNX), ("tflite", TFLITE, "")):
        (models / name / "1").mkdir(parents=True)
        (models / name / "1" / f"model.{name}").write_bytes(content)
        (models / name / "config.pbtxt").write_text(config)
    return models


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Serving]:
    with serving("--model-repository", repository) as started:
        yield started


@pytest.fixture(params=["http", "grpc"])
def ask(request: pytest.FixtureRequest, server: Serving) -> Iterator[Ask]:
    kind, address = (triton_http, server.url("HTTP")) if request.param == "http" else (triton_grpc, server.url("gRPC"))
    with kind.InferenceServerClient(address) as client:

        def infer(model: str, outputs: list[str], **inputs: np.ndarray) -> list[np.ndarray]:
            tensors = []
            for name, array in inputs.items():
                datatype = next((row for row, (_, dtype) in TYPES.items() if dtype == array.dtype), "BYTES")
                tensors.append(kind.InferInput(name, list(array.shape), datatype))
                tensors[-1].set_data_from_numpy(array)
            answer = client.infer(model, tensors, outputs=[kind.InferRequestedOutput(name) for name in outputs])
            return [answer.as_numpy(name) for name in outputs]

        yield infer


@pytest.mark.parametrize("datatype", TYPES)
@pytest.mark.parametrize("batch", [1, 4])
def test_every_data_type(ask: Ask, repository: Path, datatype: str, batch: int):
    dtype = TYPES[datatype][1]
    random = np.random.default_rng(batch)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        most = min(int(info.max) // 4, 2**29)
        low = random.integers(0, most, (batch, 16)).astype(dtype)
        high = (low + random.integers(0, most, (batch, 16)).astype(dtype)).astype(dtype)
    else:
        low, high = (random.integers(0, 2 if datatype == "BOOL" else 9, (2, batch, 16))).astype(dtype)
    inputs = {"INPUT0": high, "INPUT1": low}
    answers = ask(f"add_sub_{datatype}", ["OUTPUT0", "OUTPUT1"], **inputs)
    own = own_answers(repository / f"add_sub_{datatype}" / "1" / "model.xml", inputs)
    for answer, wanted in zip(answers, own, strict=True):
        assert answer.dtype == dtype
        assert np.array_equal(answer, wanted)
    if dtype.kind in "iu":
        assert np.array_equal(answers[0], high + low)
        assert np.array_equal(answers[1], high - low)


def test_strings(ask: Ask):
    sent = np.array([[b"a\0\xff", b""], ["größer".encode(), b"x" * 1000]], np.object_)
    (answer,) = ask("text", ["IN"], IN=sent)
    assert answer.tolist() == sent.tolist()


def test_a_scalar_is_one_element(ask: Ask):
    assert ask("scalar", ["Y"], X=np.array([21], np.float32))[0].tolist() == [42]


def test_of_several_outputs_those_that_are_asked_for_in_that_order(ask: Ask):
    x = np.arange(6, dtype=np.float32)[None]
    answers = ask("many_outputs", ["Y4", "Y1", "SHAPE"], X=x)
    assert [answer.tolist() for answer in answers] == [(x + 4).tolist(), (x + 1).tolist(), [1, 6]]


def test_sizes_that_vary(ask: Ask):
    for length in (1, 5, 0):
        x = np.ones((2, length, 3), np.float32)
        assert ask("any_size", ["Y"], X=x)[0].tolist() == [[length] * 3] * 2


def test_weights_from_the_bin_file(ask: Ask, repository: Path):
    x = np.random.default_rng(1).random((3, 16), np.float32)
    (own,) = own_answers(repository / "product" / "1" / "model.xml", {"X": x})
    assert np.array_equal(ask("product", ["Y"], X=x)[0], own)


def test_a_batch_that_the_file_fixes(ask: Ask, repository: Path):
    x = np.random.default_rng(1).random((5, 16), np.float32)
    own = [own_answers(repository / "fixed" / "1" / "model.xml", {"X": row[None]})[0] for row in x]
    together = ask("fixed_batched", ["Y"], X=x)[0]
    assert together.shape == (5, 8)
    assert np.allclose(together, np.concatenate(own), rtol=1e-2)
    assert np.array_equal(ask("fixed", ["Y"], X=x[:1])[0], own[0])
    with pytest.raises(Exception, match=r"Expected \[1,16\], got \[5,16\]"):
        ask("fixed", ["Y"], X=x)


def test_onnx_and_tensorflow_lite_files(ask: Ask):
    x = np.arange(16, dtype=np.float32)[None]
    plus, minus = ask("onnx", ["OUTPUT0", "OUTPUT1"], INPUT0=x, INPUT1=x)
    assert (plus.tolist(), minus.tolist()) == ((2 * x).tolist(), (0 * x).tolist())
    y = np.array([[0, 1, 2, 3]], np.float32)
    assert ask("tflite", ["PartitionedCall:0"], **{"serving_default_x:0": y})[0].tolist() == [[1, 3, 5, 7]]


def test_configurations_are_completed(server: Serving):
    with triton_http.InferenceServerClient(server.url("HTTP")) as client:

        def said(model: str) -> tuple:
            config = client.get_model_config(model)
            tensors = [(one["name"], one["data_type"], one["dims"]) for one in (*config["input"], *config["output"])]
            return config["backend"], config["max_batch_size"], "dynamic_batching" in config, tensors

        wanted = [("X", "TYPE_FP32", [16]), ("Y", "TYPE_FP32", [8])]
        assert said("product") == ("openvino", 4, True, wanted)
        assert said("fixed_batched") == ("openvino", 8, True, wanted)
        whole = [("X", "TYPE_FP32", [1, 16]), ("Y", "TYPE_FP32", [1, 8])]
        assert said("fixed") == ("openvino", 0, False, whole)
        assert said("many_outputs")[1] == 0  # SHAPE has no batch


@pytest.mark.parametrize(("datatype", "value"), [("INT64", 2**31), ("INT64", -(2**31) - 1), ("UINT64", 2**31)])
def test_whole_numbers_that_openvino_would_cut_are_refused(ask: Ask, datatype: str, value: int):
    x = np.full((1, 16), value, TYPES[datatype][1])
    with pytest.raises(Exception, match=f"input 'INPUT0' holds {value}, but OpenVINO computes"):
        ask(f"add_sub_{datatype}", ["OUTPUT0"], INPUT0=x, INPUT1=x)


def test_strings_that_openvino_would_spoil_are_refused(ask: Ask):
    with pytest.raises(Exception, match="ends in a zero byte"):
        ask("text", ["IN"], IN=np.array([[b"a\0", b"b"]], np.object_))
    many = np.array([[b"x" * (1 << 20), *[b""] * 64]], np.object_)
    with pytest.raises(Exception, match="as OpenVINO gives all the length of the longest"):
        ask("text", ["IN"], IN=many)


def test_bfloat16_is_what_openvino_computes_with_it(repository: Path):
    x = np.full((1, 16), 1.5, ml_dtypes.bfloat16)
    own = own_answers(repository / "add_sub_BF16" / "1" / "model.xml", {"INPUT0": x, "INPUT1": x})
    assert own[0].tolist() == [[3.0] * 16]
