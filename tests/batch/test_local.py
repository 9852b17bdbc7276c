"""Models in this process answer as they do over the wire, and refuse in the same words."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repositories import write_standard_models
from tcli_batch import DataError, Job, JobOptions, LocalTransport, find_data, read_signature
from tcli_client import AnswerError, Inference, Output, Transport, connect
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

ONES = np.ones((2, 16), np.float32)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standard_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def local(repository: Path) -> Iterator[LocalTransport]:
    with LocalTransport(repository) as server:
        yield server


@pytest.fixture(scope="module", params=["http", "grpc"])
def wire(request: pytest.FixtureRequest, repository: Path) -> Iterator[Transport]:
    options = ServeOptions(http_port=0, grpc_port=0, metrics_port=0, http_address="127.0.0.1", grpc_address="127.0.0.1")
    with Server(Engine(repository), options) as server:
        port = server.http_port if request.param == "http" else server.grpc_port
        with connect(f"{request.param}://127.0.0.1:{port}") as transport:
            yield transport


@pytest.mark.parametrize(
    "inference",
    [
        Inference("add_sub", {"INPUT0": ONES, "INPUT1": 2 * ONES}, id="7"),
        Inference("add_sub", {"INPUT0": ONES, "INPUT1": 2 * ONES}, [Output("OUTPUT1")], version="1"),
        Inference(
            "add_sub",
            {"INPUT0": ONES, "INPUT1": np.arange(32, dtype=np.float32).reshape(2, 16)},
            [Output("OUTPUT0", 3)],
        ),
        Inference("add_sub", {"INPUT0": ONES}),
        Inference("add_sub", {"INPUT0": ONES[:, :3], "INPUT1": ONES}),
        Inference("add_sub", {"INPUT0": ONES.astype(np.int64), "INPUT1": ONES}),
        Inference("add_sub", {"INPUT0": ONES, "INPUT1": ONES}, [Output("OUTPUT7")]),
        Inference("nobody", {"INPUT0": ONES}),
        Inference("add_sub", {"INPUT0": ONES, "INPUT1": ONES}, version="9"),
    ],
)
def test_the_same_answer_or_the_same_refusal(local: LocalTransport, wire: Transport, inference: Inference):
    told = []
    for server in (local, wire):
        try:
            answer = server.infer(inference)
            outputs = {name: array.tolist() for name, array in answer.outputs.items()}
            told.append((answer.model, answer.version, answer.id, outputs))
        except AnswerError as error:
            told.append((type(error), str(error)))
    assert told[0] == told[1]


def test_what_is_said_about_models_is_the_same(local: LocalTransport, wire: Transport):
    assert local.live()
    assert local.ready()
    assert local.model_ready("add_sub")
    assert not local.model_ready("nobody")
    assert local.model_metadata("add_sub") == wire.model_metadata("add_sub")
    assert local.model_config("add_sub") == wire.model_config("add_sub")
    assert read_signature(local, "add_sub") == read_signature(wire, "add_sub")
    assert {model.name for model in local.index()} == {model.name for model in wire.index()}
    assert str(local.address)


def test_what_an_answer_holds_stays_as_it_is(local: LocalTransport):
    """Whoever asks in this process may keep an answer while others are given."""
    kept = [
        local.begin(Inference("add_sub", {"INPUT0": number * ONES, "INPUT1": ONES})).result().outputs["OUTPUT0"]
        for number in range(50)
    ]
    assert [int(array[1, 3]) for array in kept] == [number + 1 for number in range(50)]


def test_a_job_has_the_same_rows_over_the_wire(tmp_path: Path, local: LocalTransport, wire: Transport):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", INPUT0=rng.random((100, 16), np.float32), INPUT1=rng.random((100, 16), np.float32))
    files = find_data([str(tmp_path / "x.npz")])
    written = []
    for number, server in enumerate((local, wire)):
        out = tmp_path / f"{number}.jsonl"
        summary = Job(server, files, JobOptions("add_sub", classes=2)).run(out)
        assert (summary.rows, summary.refused) == (100, 0)
        written.append(out.read_text())
    assert written[0] == written[1]


def test_models_that_answer_no_single_rows_are_refused(tmp_path: Path, local: LocalTransport):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="is not an image classifier"):
        Job(local, find_data([str(tmp_path / "x.png")]), JobOptions("add_sub"))
