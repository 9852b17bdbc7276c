"""Models of every kind are loaded as a server does, and their batches compared with single requests."""

from pathlib import Path

import pytest
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

import batching_models as graphs
import onnx_models
import ragged_models
import sequence_models
from ensemble_models import ensemble, write_ensemble
from python_models import REPEAT, REPEAT_CONFIG, write_python_model
from repositories import write_model
from row_models import python_config, write_rows
from tcli_server import Engine
from tcli_server.proof import prove_batching


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_right_model_is_proved_and_left_as_it_is(tmp_path: Path):
    repository = graphs.write(tmp_path, "m", graphs.pools_four, graphs.config_of("m", 8, "[ -1 ]", "[ -1 ]"))
    before = contents(repository)
    verdict = prove_batching(repository / "m")
    assert (verdict.outcome, verdict.sizes) == ("ok", (2, 3, 8))
    assert contents(repository) == before


@pytest.mark.parametrize(
    ("build", "dims", "output", "node"),
    [
        (lambda path: graphs.recurrent(path, None, None), "[ -1, 3 ]", "[ -1, 4 ]", "node 'lstm' (LSTM)"),
        (graphs.quantized, "[ 8 ]", "[ 5 ]", "node 'quantize' (DynamicQuantizeLinear)"),
        (graphs.normalizes_over_the_batch, "[ 4 ]", "[ 4 ]", "node 'over_the_batch' (ReduceMean)"),
    ],
)
def test_what_mixes_the_items_is_named(tmp_path: Path, build, dims: str, output: str, node: str):
    """A sequence in front, one scale for a whole batch, and a mean over it."""
    repository = graphs.write(tmp_path, "m", build, graphs.config_of("m", 4, dims, output))
    verdict = prove_batching(repository / "m")
    assert verdict.outcome == "wrong"
    assert verdict.output == "y"
    assert verdict.reason.endswith(f"{node} does not keep the items apart")


def test_a_batch_on_another_axis(tmp_path: Path):
    """x [3, N]: a server joins requests along the first dimension, whatever is meant by it."""
    nodes = [helper.make_node("Softmax", ["x"], ["y"], name="over_classes", axis=0)]
    graphs.save(tmp_path / "m" / "1" / "model.onnx", nodes, {"x": [None, "N"]}, {"y": [None, "N"]})
    verdict = prove_batching(tmp_path / "m")
    assert verdict.outcome == "wrong"
    assert "(Softmax)" in verdict.reason


def test_outputs_without_a_row_an_item(tmp_path: Path):
    """As detectors give: as many rows as they find."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Transpose", ["places"], ["y"], perm=[1, 0]),
    ]
    file = tmp_path / "m" / "1" / "model.onnx"
    graphs.save(file, nodes, {"x": ["N", 4]}, {"y": ["K", 2]}, (), {"y": TensorProto.INT64})
    verdict = prove_batching(tmp_path / "m")
    assert verdict.outcome == "wrong"
    assert "does not keep the batch dimension" in verdict.reason


def test_shapes_are_those_of_clients(tmp_path: Path):
    config = graphs.config_of("m", 4, "[ 2, 4 ]", "[ -1 ]", "reshape { shape: [ 8 ] }")
    repository = graphs.write(tmp_path, "m", graphs.pools_four, config)
    verdict = prove_batching(repository / "m")
    assert (verdict.outcome, dict(verdict.shapes)) == ("ok", {"x": (2, 4)})


def test_a_shape_that_is_given(tmp_path: Path):
    repository = graphs.write(tmp_path, "m", graphs.pools_four, graphs.config_of("m", 4, "[ -1 ]", "[ -1 ]"))
    verdict = prove_batching(repository / "m", shapes={"x": (7,)})
    assert dict(verdict.shapes) == {"x": (7,)}
    assert prove_batching(repository / "m", shapes={"x": (3,)}).outcome == "unchecked"


def test_another_configuration_and_an_older_version(tmp_path: Path):
    repository = graphs.write(tmp_path, "m", graphs.pools_four, graphs.config_of("m", 0, "[ -1, 9 ]", "[ -1, -1 ]"))
    graphs.normalizes_over_the_batch(repository / "m" / "2" / "model.onnx")
    assert prove_batching(repository / "m", version=1).sentence == "max_batch_size is 0: no two items share a batch"
    batching = ModelConfig(max_batch_size=4)
    assert prove_batching(repository / "m", config=batching).outcome == "wrong"
    batching.version_policy.all.SetInParent()
    assert prove_batching(repository / "m", config=batching, version=1).outcome == "ok"


def test_batches_are_no_larger_than_the_configuration_allows(tmp_path: Path):
    for size, ran in ((1, ()), (2, (2,)), (3, (2, 3)), (64, (2, 3, 8))):
        config = graphs.config_of("m", size, "[ 9 ]", "[ -1 ]")
        repository = graphs.write(tmp_path / str(size), "m", graphs.pools_four, config)
        verdict = prove_batching(repository / "m")
        assert (verdict.outcome, verdict.sizes) == ("ok", ran)


def test_what_does_not_load_is_unchecked(tmp_path: Path):
    assert "it does not load: " in prove_batching(tmp_path / "nothing").reason
    write_model(tmp_path, "m", b"no model", graphs.config_of("m", 4, "[ 4 ]", "[ 4 ]"))
    assert "it does not load: " in prove_batching(tmp_path / "m").reason
    graphs.pools_four(tmp_path / "lacking" / "1" / "model.onnx")
    (tmp_path / "lacking" / "config.pbtxt").write_text('backend: "tensorrt" max_batch_size: 4')
    verdict = prove_batching(tmp_path / "lacking")
    assert verdict.outcome == "unchecked"
    assert "tensorrt" in verdict.reason


def test_ragged_batches(tmp_path: Path):
    """Items of different lengths share a batch; counts of the whole batch are no answer to one of them."""
    config = ragged_models.config(["OFFSETS"])
    write_model(tmp_path, "shows_all", ragged_models.ragged(["OFFSETS"]), config)
    verdict = prove_batching(tmp_path / "shows_all")
    assert (verdict.outcome, verdict.output) == ("wrong", "SEEN_OFFSETS")
    without = "\n".join(line for line in config.splitlines() if "SEEN" not in line)
    write_model(tmp_path, "sums", ragged_models.ragged(["OFFSETS"]), without)
    assert prove_batching(tmp_path / "sums").outcome == "ok"


def test_a_ragged_batch_that_fails(tmp_path: Path):
    """A server answers its requests all the same, each alone: so nobody else would notice."""
    nodes = [
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Gather", ["table", "size"], ["found"]),
        helper.make_node("Add", ["x", "found"], ["sum"]),
        helper.make_node("Div", ["size", "width"], ["rows"]),
        helper.make_node("Concat", ["rows", "width"], ["shape"], axis=0),
        helper.make_node("Reshape", ["sum", "shape"], ["y"]),
    ]
    file = tmp_path / "m" / "1" / "model.onnx"
    graphs.save(file, nodes, {"x": ["E"]}, {"y": [None, 4]}, [graphs.integers("width", 4), graphs.floats("table", 5)])
    (tmp_path / "m" / "config.pbtxt").write_text(
        graphs.config_of("m", 2, "[ 4 ]", "[ 4 ]", "allow_ragged_batch: true") + "dynamic_batching {}"
    )
    verdict = prove_batching(tmp_path / "m")
    assert verdict.outcome == "wrong"
    assert "a batch of 2 fails, while its items run alone" in verdict.reason


@pytest.mark.parametrize("strategy", ["direct {}", "oldest { max_candidate_sequences: 4 }"])
def test_sequences_share_batches_by_their_first_requests(tmp_path: Path, strategy: str):
    write_model(tmp_path, "m", sequence_models.sums(), sequence_models.sums_config(strategy))
    verdict = prove_batching(tmp_path / "m")
    assert (verdict.outcome, verdict.sizes) == ("ok", (2, 3))


def test_sequences_whose_rows_are_mixed(tmp_path: Path):
    """The state is that of all sequences together."""
    name = "SUM_IN"
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["all"], axes=[0], keepdims=1),
        helper.make_node("Add", ["all", name], ["sum"]),
        helper.make_node("Add", ["sum", "x"], ["y"]),
        helper.make_node("Identity", ["sum"], ["SUM_OUT"]),
    ]
    file = tmp_path / "m" / "1" / "model.onnx"
    graphs.save(file, nodes, {"x": ["N", 4], name: ["N", 4]}, {"y": ["N", 4], "SUM_OUT": ["N", 4]})
    state = f'state {{ input_name: "{name}" output_name: "SUM_OUT" data_type: TYPE_FP32 dims: [ 4 ] }}'
    config = graphs.config_of("m", 4, "[ 4 ]", "[ 4 ]") + f"sequence_batching {{ {state} }}"
    (tmp_path / "m" / "config.pbtxt").write_text(config)
    verdict = prove_batching(tmp_path / "m")
    assert (verdict.outcome, verdict.output) == ("wrong", "y")


def test_ensembles_are_checked_step_by_step(tmp_path: Path):
    write_ensemble(tmp_path, "both", ensemble(["A"], ["B"], [("one", {"x": "A"}, {"y": "B"})]))
    verdict = prove_batching(tmp_path / "both")
    assert verdict.outcome == "unchecked"
    assert "each of its steps is checked by itself" in verdict.reason


# --- Python models ---


@pytest.mark.parametrize(
    ("body", "outcome", "says"),
    [
        ("2 * x", "ok", ""),
        ("x - all_of_them.mean(0)", "wrong", "for a batch of 2 requests is not what 2 single items give"),
        ("np.repeat(x[:1], len(x), 0)", "wrong", "for a batch of 2 in one request is not what 2 single items give"),
        ("x[:1] if len(x) == 2 else x", "wrong", "output 'y' has shape [1, 4] for 2 items"),
        ("x + np.random.random(x.shape)", "unchecked", "different answers"),
        ("np.linalg.inv(x)", "unchecked", "a single random item does not run: "),
    ],
)
def test_python_models_see_requests_and_rows(tmp_path: Path, body: str, outcome: str, says: str):
    verdict = prove_batching(write_rows(tmp_path, body))
    assert verdict.outcome == outcome
    assert says in verdict.reason


def test_a_python_model_that_answers_later(tmp_path: Path):
    code = """
    import threading

    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy().copy()
                threading.Timer(0.05, self.answer, (request.get_response_sender(), x)).start()

        def answer(self, sender, x):
            answer = pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])
            sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    """
    verdict = prove_batching(write_python_model(tmp_path, "m", code, python_config()))
    assert (verdict.outcome, verdict.sizes) == ("ok", (2, 3, 8))


def test_a_python_model_that_asks_others_needs_a_server(tmp_path: Path):
    write_rows(tmp_path, "2 * x", "inner")
    asked = (
        "pb_utils.InferenceRequest(model_name='inner', requested_output_names=['y'], inputs=[pb_utils.Tensor('x', x)])"
    )
    folder = write_rows(tmp_path, f"pb_utils.get_output_tensor_by_name({asked}.exec(), 'y').as_numpy()", "outer")
    with Engine(tmp_path) as engine:
        assert prove_batching(folder, host=engine).outcome == "ok"
    assert prove_batching(folder).outcome == "unchecked"


def test_decoupled_and_iterative_models_have_nothing_to_compare(tmp_path: Path):
    folder = write_python_model(tmp_path, "many", REPEAT, REPEAT_CONFIG + "max_batch_size: 4")
    assert "decoupled" in prove_batching(folder).reason
    more = "sequence_batching { iterative_sequence: true }"
    assert "iterative" in prove_batching(write_rows(tmp_path, "x", "steps", more)).reason


def test_a_model_without_a_configuration(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.add_sub(), None)
    verdict = prove_batching(tmp_path / "m")
    assert (verdict.outcome, verdict.sizes) == ("ok", (2, 3))


def test_pictures_are_made_up_for_models_that_take_them(tmp_path: Path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text('backend: "image"\nmax_batch_size: 8\n')
    verdict = prove_batching(tmp_path / "m")
    assert (verdict.outcome, verdict.sizes) == ("ok", (2, 3, 8))
