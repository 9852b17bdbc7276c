"""Buffers that stay on a session's device, here the CPU: the same code binds a GPU's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import onnx_models
from tcli_server.backends.onnxruntime.binding import BoundSession
from tcli_server.backends.onnxruntime.session import BoundOnnxRuntimeInstance
from tcli_server.backends.onnxruntime.signature import session_signature, untold
from tcli_server.errors import InternalError


def session_of(content: bytes) -> ort.InferenceSession:
    return ort.InferenceSession(content, providers=["CPUExecutionProvider"])


def bound(content: bytes, most_layouts: int = 64) -> BoundSession:
    return BoundSession(session_of(content), "cpu", 0, lambda: None, most_layouts=most_layouts)


def numbers(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def one_node(node: str, output: list[object], kind: int = TensorProto.FLOAT) -> bytes:
    """Y = node(X), X of shape [N, 3]."""
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("Y", kind, output)
    graph = helper.make_graph([helper.make_node(node, ["X"], ["Y"])], "test", [x], [y])
    return helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()


ADDRESSES = Callable[[], set[int]]


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> ADDRESSES:
    """Where the buffers lie that are written from numpy; those of a call are told once."""
    seen: set[int] = set()
    write = ort.OrtValue.update_inplace

    def noted(value: ort.OrtValue, data: np.ndarray) -> None:
        seen.add(value.data_ptr())
        write(value, data)

    monkeypatch.setattr(ort.OrtValue, "update_inplace", noted)

    def told() -> set[int]:
        found = set(seen)
        seen.clear()
        return found

    return told


def test_answers_are_those_of_a_plain_run_whatever_shapes_came_before():
    content = onnx_models.add_sub()
    plain, session = session_of(content), bound(content)
    for rows in (1, 4, 1, 2, 4, 4):
        given = {"INPUT0": numbers(rows, 16, seed=rows), "INPUT1": numbers(rows, 16, seed=9)}
        for outputs in (["OUTPUT0", "OUTPUT1"], ["OUTPUT1"], ["OUTPUT1", "OUTPUT0"]):
            answers = session.run(given, outputs)
            for answer, expected in zip(answers, plain.run(outputs, given), strict=True):
                np.testing.assert_array_equal(answer, expected)


def test_the_same_shapes_use_the_same_memory_and_others_have_their_own(addresses: ADDRESSES):
    session = bound(onnx_models.identity())
    session.run({"INPUT0": numbers(4, 4)}, ["OUTPUT0"])
    first = addresses()
    for _ in range(3):
        session.run({"INPUT0": numbers(4, 4)}, ["OUTPUT0"])
    assert addresses() == first
    session.run({"INPUT0": numbers(8, 4)}, ["OUTPUT0"])
    assert addresses().isdisjoint(first)


def test_an_answer_stays_what_it_was_when_the_next_batch_runs():
    session = bound(onnx_models.identity())
    answers = [session.run({"INPUT0": np.full((2, 4), value, np.float32)}, ["OUTPUT0"])[0] for value in range(4)]
    assert [answer[0, 0] for answer in answers] == [0, 1, 2, 3]


def test_what_is_not_contiguous_is_taken():
    given = numbers(4, 6).T[:4]
    assert not given.flags.c_contiguous
    (answer,) = bound(onnx_models.identity()).run({"INPUT0": given}, ["OUTPUT0"])
    np.testing.assert_array_equal(answer, given)


@pytest.mark.parametrize("output", [["N", "N"], [2, "M"], ["M", "N"]])
def test_an_output_whose_shape_depends_on_values_is_right_whatever_the_model_says_of_it(output: list[object]):
    """NonZero answers [2, how many there are]; a model may name these sizes as it likes."""
    content = one_node("NonZero", output, TensorProto.INT64)
    session = bound(content)
    for given in (np.eye(3), np.ones((3, 3)), np.zeros((3, 3)), np.eye(3)):
        (answer,) = session.run({"X": given.astype(np.float32)}, ["Y"])
        np.testing.assert_array_equal(answer, np.array(np.nonzero(given)))


def test_only_so_many_combinations_of_shapes_are_kept():
    session = bound(onnx_models.identity(), most_layouts=2)
    for rows in (1, 2, 3, 2, 1, 2, 3):
        given = numbers(rows, 4, seed=rows)
        np.testing.assert_array_equal(session.run({"INPUT0": given}, ["OUTPUT0"])[0], given)
    assert len(session._layouts) == 2


def test_graphs_are_for_shapes_of_known_outputs_and_after_a_first_run(monkeypatch: pytest.MonkeyPatch):
    """No provider here captures graphs, so what is asked of one is looked at."""
    asked: list[str] = []
    run = ort.InferenceSession.run_with_iobinding

    def noted(session: ort.InferenceSession, binding: ort.IOBinding, options: ort.RunOptions) -> None:
        asked.append(options.get_run_config_entry("gpu_graph_id"))
        run(session, binding, options)

    monkeypatch.setattr(ort.InferenceSession, "run_with_iobinding", noted)
    session = BoundSession(session_of(onnx_models.identity()), "cpu", 0, lambda: None, graphs=True, most_layouts=2)
    for rows in (1, 1, 2, 1, 2, 3, 3, 1):
        session.run({"INPUT0": numbers(rows, 4)}, ["OUTPUT0"])
    assert asked == ["-1", "1", "-1", "1", "2", "-1", "-1", "1"]
    asked.clear()
    content = one_node("NonZero", [2, "M"], TensorProto.INT64)
    session = BoundSession(session_of(content), "cpu", 0, lambda: None, graphs=True)
    for _ in range(3):
        session.run({"X": numbers(3, 3)}, ["Y"])
    assert asked == ["-1"] * 3


# --- as an instance ---


def instance(content: bytes, tmp_path: Path) -> BoundOnnxRuntimeInstance:
    import onnx

    (tmp_path / "model.onnx").write_bytes(content)
    session = session_of(content)
    signature = session_signature(session, untold(onnx.load(tmp_path / "model.onnx")))
    return BoundOnnxRuntimeInstance(session, lambda: None, signature, "cpu", 0, False)


@pytest.mark.parametrize("kind", [
    TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT64, TensorProto.UINT64,
    TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16, TensorProto.STRING,
])  # fmt: skip
def test_every_type_passes_bound_or_not(kind: int, tmp_path: Path):
    loaded = instance(onnx_models.identity(kind), tmp_path)
    if kind == TensorProto.STRING:
        given = np.array([[b"a", b"", "ä".encode(), b"d"]], np.object_)
    elif kind == TensorProto.BFLOAT16:
        import ml_dtypes

        given = numbers(2, 4).astype(ml_dtypes.bfloat16)
    else:
        given = (numbers(2, 4) * 9).astype(helper.tensor_dtype_to_np_dtype(kind))
    for _ in range(3):
        (answer,) = loaded.run(loaded.prepare({"INPUT0": given}), ["OUTPUT0"])
        assert answer.dtype == given.dtype
        np.testing.assert_array_equal(answer, given)
    loaded.close()


def test_empty_batches_pass_too(tmp_path: Path):
    (answer,) = instance(onnx_models.identity(), tmp_path).run({"INPUT0": numbers(0, 4)}, ["OUTPUT0"])
    assert answer.shape == (0, 4)


def test_a_batch_that_fails_harms_no_other(tmp_path: Path):
    loaded = instance(onnx_models.identity(), tmp_path)
    for _ in range(2):
        with pytest.raises(InternalError, match="onnx runtime error"):
            loaded.run({"INPUT0": numbers(2, 5)}, ["OUTPUT0"])
        given = numbers(2, 4)
        np.testing.assert_array_equal(loaded.run({"INPUT0": given}, ["OUTPUT0"])[0], given)
