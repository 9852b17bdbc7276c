"""generate: one JSON object in, one out, and a status that tells the truth."""

import json
from collections.abc import Iterator

import pytest

from decoupled_models import DecoupledServer, decoupled_server, response, send
from http_wire import Response, Wire, get, post
from tcli_server.errors import InternalError, InvalidArgumentError, UnavailableError
from tcli_server.serving import ServeOptions
from waiting import until

GENERATE = "/v2/models/many/generate"
ONE = b'{"INPUT0": [1, 2]}'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecoupledServer]:
    loopback = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0
    )
    with decoupled_server(tmp_path_factory.mktemp("models"), loopback) as running:
        yield running


@pytest.fixture
def wire(served: DecoupledServer) -> Iterator[Wire]:
    with Wire(served.http_port) as connected:
        yield connected


def error(answer: Response) -> str:
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)["error"]


def test_one_response_is_the_answer(served: DecoupledServer, wire: Wire):
    wire.send(post(b'{"INPUT0": [1, 2], "id": "7"}', GENERATE))
    request = served.request()
    assert request.inputs["INPUT0"].tolist() == [[1.0, 2.0]]
    send(request, 5.0)
    answer = wire.read()
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body == b'{"OUTPUT0":[5.0,5.0,5.0,5.0],"id":"7","model_name":"many","model_version":"1"}'


def test_one_response_and_an_end_without_one_is_the_answer_too(served: DecoupledServer, wire: Wire):
    wire.send(post(ONE, GENERATE))
    request = served.request()
    request.send(response(3.0, 1, probability=0.5, stop=True), final=False)
    assert wire.silent(0.1)
    request.finish()
    assert json.loads(wire.read().body) == {
        "OUTPUT0": 3.0, "probability": 0.5, "stop": True, "model_name": "many", "model_version": "1",
    }  # fmt: skip


def test_no_response_is_an_error_with_an_error_s_status(served: DecoupledServer, wire: Wire):
    wire.send(post(ONE, GENERATE))
    served.request().finish()
    answer = wire.read()
    assert answer.status == 500
    assert "generate expects model to produce exactly 1 response" in error(answer)


def test_a_second_response_is_an_error_and_stops_the_model(served: DecoupledServer, wire: Wire):
    wire.send(post(ONE, GENERATE))
    request = served.request()
    request.send(response(1.0), final=False)
    request.send(response(2.0), final=False)
    answer = wire.read()
    assert answer.status == 500
    assert "generate expects model to produce exactly 1 response" in error(answer)
    until(lambda: request.ended)
    wire.send(post(ONE, GENERATE))  # the connection goes on
    send(served.request(), 1.0)
    assert wire.read().status == 200


@pytest.mark.parametrize(
    ("failure", "status"),
    [(InvalidArgumentError("no such word"), 400), (InternalError("broken"), 500), (UnavailableError("busy"), 503)],
)
@pytest.mark.parametrize("first", [0, 1])
def test_the_model_s_error_is_answered_with_its_status(
    served: DecoupledServer, wire: Wire, failure: Exception, status: int, first: int
):
    wire.send(post(ONE, GENERATE))
    request = served.request()
    for _ in range(first):
        request.send(response(1.0), final=False)
    request.fail(failure)
    answer = wire.read()
    assert (answer.status, error(answer)) == (status, str(failure))


def test_a_model_that_is_not_decoupled_generates(wire: Wire):
    wire.send(post(b'{"INPUT0": 4}', "/v2/models/free/versions/1/generate"))
    assert json.loads(wire.read().body) == {"OUTPUT0": 4.0, "model_name": "free", "model_version": "1"}


def test_a_large_request_and_a_large_response(wire: Wire):
    numbers = list(range(200_000))
    wire.send(post(json.dumps({"INPUT0": numbers}).encode(), "/v2/models/free/generate"))
    assert json.loads(wire.read().body)["OUTPUT0"] == numbers


def test_infer_is_refused_and_told_where_to_go(wire: Wire):
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 1], "data": [1]}
    wire.send(post(json.dumps({"inputs": [tensor]}).encode(), "/v2/models/many/infer"))
    answer = wire.read()
    assert answer.status == 501
    assert "doesn't support models with decoupled transaction policy" in error(answer)
    assert "generate_stream" in error(answer)


def test_what_is_wrong_with_the_request_as_a_whole(served: DecoupledServer, wire: Wire):
    assert served.model.statistics.success_count >= 0
    for body, path, headers, status, said in [
        (ONE, "/v2/models/nope/generate", "", 404, "unknown model: 'nope'"),
        (ONE, "/v2/models/many/versions/9/generate", "", 404, "version 9"),
        (ONE, GENERATE, "Content-Encoding: gzip\r\n", 400, "only 'identity' is supported"),
        (b"", GENERATE, "", 500, "failed to parse the request JSON"),
        (b"{", GENERATE, "", 500, "failed to parse the request JSON"),
        (b"[1]", GENERATE, "", 500, "non-object"),
        (b"{}", GENERATE, "", 400, "expected 1 inputs but got 0 inputs"),
        (b'{"INPUT0": [' + b"1," * 40_000_000 + b"1]}", GENERATE, "", 400, "exceeds the maximum allowed input size of"),
    ]:
        wire.send(post(body, path, headers))
        answer = wire.read()
        assert answer.status == status
        assert said in error(answer)
    wire.send(get(GENERATE))
    assert wire.read().status == 405


def test_an_output_without_a_json_form_is_an_error(served: DecoupledServer, wire: Wire):
    wire.send(post(ONE, GENERATE))
    request = served.request()
    made = response(1.0)
    made.outputs["OUTPUT0"] = made.outputs["OUTPUT0"].astype("float16")
    request.send(made)
    answer = wire.read()
    assert answer.status == 400
    assert "FP16" in error(answer)


def test_a_client_that_is_gone_cancels(served: DecoupledServer):
    wire = Wire(served.http_port)
    wire.send(post(ONE, GENERATE))
    request = served.request()
    wire.reset()
    until(lambda: request.ended)
