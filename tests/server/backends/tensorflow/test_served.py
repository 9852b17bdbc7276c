"""SavedModels, served and compared with what TensorFlow itself answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from asked_server import PROTOCOLS, AskedServer

tf = pytest.importorskip("tensorflow")
import tensorflow_models as models  # noqa: E402

X, Y = np.arange(8, dtype=np.float32).reshape(2, 4), np.ones((2, 3), np.float32)
DELAY = "dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 8 ] }\n"
TYPES = [
    *(tf.bool, tf.uint8, tf.uint16, tf.uint32, tf.uint64, tf.int8, tf.int16, tf.int32, tf.int64),
    *(tf.float16, tf.float32, tf.float64),
]


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskedServer]:
    folder = tmp_path_factory.mktemp("models")
    add_sub = models.AddSub()
    signatures = {"serving_default": add_sub.both, "doubled": add_sub.doubled}
    models.write(folder, "add_sub", add_sub, signatures)
    models.write(folder, "two", add_sub, signatures, "instance_group { count: 2 kind: KIND_CPU }")
    named = 'platform: "tensorflow_savedmodel"\n' + parameter("TF_SIGNATURE_DEF", "doubled")
    models.write(folder, "doubled", add_sub, signatures, named)
    models.write(folder, "batched", add_sub, signatures, f"max_batch_size: 8\n{DELAY}")
    models.write(folder, "shout", models.Shout())
    models.write(folder, "looks", models.Looks())
    models.write(folder, "fails", models.Fails(), config=f"max_batch_size: 8\n{DELAY}")
    models.write(folder, "scalar", models.Identity(tf.string, []))
    for name, more in (("shared", parameter("MAX_SESSION_SHARE_COUNT", "2")), ("apart", "")):
        models.write(folder, name, models.Counter(), config=f"instance_group {{ count: 2 kind: KIND_CPU }}\n{more}")
    for dtype in TYPES:
        models.write(folder, f"identity_{dtype.name}", models.Identity(dtype))
    models.write(folder, "identity_bfloat16", models.Identity(tf.bfloat16))
    with AskedServer(folder) as running:
        yield running


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["add_sub", "two", "batched"])
def test_the_same_answers_as_tensorflow(server: AskedServer, protocol: str, model: str):
    add_sub = models.AddSub()
    expected = add_sub.both(tf.constant(X), tf.constant(Y))
    answers = server.ask(protocol, model, {"y": Y, "x": X})
    assert answers.keys() == {"sum", "difference"}
    for name, right in expected.items():
        np.testing.assert_allclose(answers[name], right.numpy(), rtol=1e-6)
    (only,) = server.ask(protocol, model, {"x": X, "y": Y}, ("difference",)).items()
    np.testing.assert_allclose(only[1], expected["difference"].numpy(), rtol=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_signature_that_the_configuration_names(server: AskedServer, protocol: str):
    assert (server.ask(protocol, "doubled", {"x": X})["twice"] == 2 * X).all()


def test_the_configuration_is_completed(server: AskedServer):
    config = server.engine.model("add_sub").config
    assert (config.backend, config.platform) == ("tensorflow", "tensorflow_savedmodel")
    assert [(item.name, list(item.dims)) for item in config.input] == [("x", [4]), ("y", [3])]
    assert [(item.name, list(item.dims)) for item in config.output] == [("difference", [3]), ("sum", [3])]
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (4, True)
    fixed = server.engine.model("doubled").config
    assert (fixed.max_batch_size, list(fixed.input[0].dims)) == (0, [2, 4])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_every_type(server: AskedServer, protocol: str, dtype: object):
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype.as_numpy_dtype)
    answer = server.ask(protocol, f"identity_{dtype.name}", {"x": array})["y"]
    assert answer.dtype == array.dtype
    np.testing.assert_array_equal(answer, array)


def test_bfloat16_goes_through_unchanged(server: AskedServer):
    import ml_dtypes

    array = np.array([[1.5, -2]], ml_dtypes.bfloat16)
    answer = server.engine.infer("identity_bfloat16", {"x": array}).outputs["y"]
    assert (answer.dtype, answer.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_strings_may_hold_any_bytes(server: AskedServer, protocol: str):
    words = np.array([[b"gr\xfcn"], [b""], [b"x" * 1000]], np.object_)
    answers = server.ask(protocol, "shout", {"words": words})
    assert answers["loud"].ravel().tolist() == [b"gr\xfcn!", b"!", b"x" * 1000 + b"!"]
    assert answers["length"].ravel().tolist() == [4, 0, 1000]
    found = server.ask(protocol, "looks", {"words": np.array([[b"dog"], [b"cow"]], np.object_)})
    assert found["number"].tolist() == [[2], [-1]]
    assert server.ask(protocol, "scalar", {"x": np.array([b"\xff"], np.object_)})["y"].tolist() == [b"\xff"]


def test_answers_are_the_callers_own(server: AskedServer):
    array = np.zeros((64, 512), np.float32)
    answer = server.engine.infer("identity_float32", {"x": array[:2]}).outputs["y"]
    array[:] = 7
    assert (answer == 0).all()


@pytest.mark.parametrize(("model", "counts"), [("shared", [1, 2]), ("apart", [1, 1])])
def test_instances_share_a_session_where_that_is_asked_for(server: AskedServer, model: str, counts: list[int]):
    instances = [placed.instance for placed in server.engine.model(model).instances]
    assert [instance.run({"x": np.zeros(1, np.float32)}, ["count"])[0].tolist() for instance in instances] == [
        [count] for count in counts
    ]


def test_requests_share_batches(server: AskedServer):
    statistics = server.engine.model("batched").statistics
    before = statistics.to_message("", "").execution_count
    rows = [np.full((1, 4), value, np.float32) for value in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: server.ask("grpc", "batched", {"x": x, "y": Y[:1]}), rows))
    add_sub = models.AddSub()
    expected = add_sub.both(tf.constant(np.concatenate(rows)), tf.constant(np.ones((8, 3), np.float32)))
    np.testing.assert_allclose(np.concatenate([each["sum"] for each in answers]), expected["sum"].numpy(), rtol=1e-6)
    assert statistics.to_message("", "").execution_count - before < 8


def test_a_request_that_the_model_cannot_run_fails_alone(server: AskedServer):
    rows = [np.full((1, 2), value, np.float32) for value in (1, 2, -1, 3)]

    def asked(x: np.ndarray) -> object:
        try:
            return server.ask("http", "fails", {"x": x})["y"].tolist()
        except InferenceServerException as error:
            return error.message()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(asked, rows))
    assert [answers[0], answers[1], answers[3]] == [[[2, 2]], [[4, 4]], [[6, 6]]]
    assert "TensorFlow execute failure: " in answers[2]
    assert "a negative number" in answers[2]
    assert "\n" not in answers[2]
