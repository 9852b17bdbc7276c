"""Frames on their way to real servers and back: in order, few at a time, and with an end whatever happens."""

import threading
from collections.abc import Iterator
from concurrent import futures
from functools import partial

import grpc
import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from colour_models import write_colour_models
from tcli_client import (
    AnswerError,
    ImageClassifier,
    ImageError,
    OptionError,
    RequestTimeoutError,
    Scaling,
    ServerUnreachableError,
    VideoError,
    WrongProtocolError,
    connect,
)
from tcli_client.transport import Inference
from tcli_client.video import Frame, classify_frames
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


class Frames:
    """Frames of three colours in turn.

    Attributes:
        taken, closed: how many were, and whether no more are wanted.
    """

    def __init__(self, count: int, broken: tuple[int, ...] = (), ends: BaseException | None = None) -> None:
        self.taken = 0
        self.closed = False
        self._count, self._broken, self._ends = count, broken, ends

    def __iter__(self) -> Iterator[Frame]:
        try:
            for index in range(self._count):
                self.taken += 1
                yield Frame(index, index / 10, 0.1, partial(self._picture, index))
            if self._ends:
                raise self._ends
        finally:
            self.closed = True

    def _picture(self, index: int, mode: str, size: tuple[int, int]) -> Image.Image:
        if index in self._broken:
            raise ImageError(f"{index} is broken")
        return Image.new("RGB", size, COLOURS[index % 3]).convert(mode)


@pytest.fixture
def grpc_server(colour_urls):
    with connect(colour_urls["grpc"]) as server:
        yield server


def tops(results) -> list[int | str]:
    return [str(result.error) if result.error else result.classes[0].index for result in results]


@pytest.mark.parametrize("window", [1, 2, 16])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_results_are_in_order_and_complete(grpc_server, window, batch_size):
    frames = Frames(50, broken=(0, 7, 8, 9, 10, 11, 49))
    results = list(classify_frames(ImageClassifier(grpc_server, "colours"), iter(frames), 2, None, batch_size, window))
    assert [result.index for result in results] == list(range(50))
    assert [result.time for result in results] == [index / 10 for index in range(50)]
    assert tops(results) == [
        f"{index} is broken" if index in (0, 7, 8, 9, 10, 11, 49) else index % 3 for index in range(50)
    ]
    assert results[1].classes[0].label == "green"
    assert all(len(result.classes) == 2 for result in results if not result.error)
    assert frames.closed


@pytest.mark.parametrize(
    ("model", "batch_size"), [("nhwc", 1), ("explicit", 1), ("explicit", 4), ("fixed_two", 1), ("fixed_two", 2)]
)
def test_models_of_every_kind(grpc_server, model, batch_size):
    results = classify_frames(
        ImageClassifier(grpc_server, model), iter(Frames(9)), 1, Scaling.NONE, batch_size=batch_size
    )
    assert tops(results) == [0, 1, 2] * 3


@pytest.mark.parametrize(("window", "batch_size"), [(1, 1), (4, 1), (3, 2)])
def test_no_more_frames_are_taken_than_may_be_under_way(grpc_server, window, batch_size):
    """However many there are, and however slowly the answers are taken: what a window needs is all that memory holds."""
    frames = Frames(400)
    given, most = 0, 0
    for _ in classify_frames(
        ImageClassifier(grpc_server, "colours"), iter(frames), window=window, batch_size=batch_size
    ):
        # A group's place is free when all of it was given, and this one is not counted as given yet.
        most = max(most, frames.taken - given)
        given += 1
        if given == 100:
            until(lambda: frames.taken >= 100 + (window - 1) * batch_size, "the decoder waits for nothing")
    assert given == 400
    assert most <= (window + 1) * batch_size


def test_only_broken_frames_are_under_way_no_more_than_others(grpc_server):
    frames = Frames(300, broken=tuple(range(300)))
    most = given = 0
    for result in classify_frames(ImageClassifier(grpc_server, "colours"), iter(frames), window=4):
        assert result.error
        most = max(most, frames.taken - given)
        given += 1
    assert (given, most <= 5) == (300, True)


def test_whoever_stops_early_stops_the_decoder(grpc_server):
    frames = Frames(100_000)
    results = classify_frames(ImageClassifier(grpc_server, "colours"), iter(frames), window=4)
    next(results)
    results.close()
    until(lambda: frames.closed)
    assert frames.taken < 20
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "frames"])


def test_an_end_by_damage_comes_after_what_was_read(grpc_server):
    frames = Frames(7, ends=VideoError("the video is truncated"))
    results = classify_frames(ImageClassifier(grpc_server, "colours"), iter(frames), batch_size=4)
    found = []
    with pytest.raises(VideoError, match="truncated"):
        found.extend(result.index for result in results)
    assert found == list(range(7))


def test_no_frames_need_no_stream(grpc_server):
    assert list(classify_frames(ImageClassifier(grpc_server, "colours"), iter(Frames(0)))) == []


def test_http_has_no_streams(colour_urls):
    with connect(colour_urls["http"]) as server, pytest.raises(OptionError, match="HTTP has no streams") as refused:
        list(classify_frames(ImageClassifier(server, "colours"), iter(Frames(3))))
    assert refused.value.fix == "ask over gRPC"


@pytest.mark.parametrize("how", [{"classes": 0}, {"window": 0}, {"batch_size": 0}, {"batch_size": 5}])
def test_options_that_do_not_go(grpc_server, how):
    with pytest.raises(OptionError):
        classify_frames(ImageClassifier(grpc_server, "colours"), iter(Frames(3)), **how)


@pytest.fixture
def own_server(tmp_path):
    """A server that a test may change, and a classifier of its `colours`."""
    options = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
    with (
        Server(Engine(write_colour_models(tmp_path / "models")), options) as running,
        connect(f"grpc://127.0.0.1:{running.grpc_port}") as server,
    ):
        yield running, ImageClassifier(server, "colours")


def test_a_model_that_is_unloaded_in_the_middle(own_server):
    """Some refusals are told of their frames; ten in a row are enough."""
    running, classifier = own_server
    results = classify_frames(classifier, iter(Frames(100_000)), window=1)
    assert next(results).classes
    running.engine.unload("colours")
    refused = []
    with pytest.raises(AnswerError, match="colours"):
        refused.extend(result.error for result in results)
    assert 9 <= len([error for error in refused if error]) <= 10


def test_a_server_that_goes(own_server):
    running, classifier = own_server
    results = classify_frames(classifier, iter(Frames(100_000)))
    assert next(results).classes
    stopping = threading.Thread(target=running.shutdown)
    stopping.start()
    with pytest.raises((ServerUnreachableError, AnswerError)):
        for _ in results:
            pass
    stopping.join()


class _Foreign(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A server of somebody else's, with a stream that it treats as told."""

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.over = threading.Event()

    def ServerMetadata(self, request, context):  # noqa: N802, ARG002
        return pb.ServerMetadataResponse(name="foreign")

    def ModelMetadata(self, request, context):  # noqa: N802, ARG002
        answer = pb.ModelMetadataResponse(name="m", versions=["1"])
        answer.inputs.add(name="x", datatype="FP32", shape=[-1, 3, 8, 8])
        answer.outputs.add(name="y", datatype="FP32", shape=[-1, 3])
        return answer

    def ModelStreamInfer(self, requests, context):  # noqa: N802, ARG002
        for count, _ in enumerate(requests):
            if count == 2 and self.behaviour == "ends":
                return
            if count == 2 and self.behaviour == "waits":
                self.over.wait(60)
                return
            answer = pb.ModelStreamInferResponse()
            if self.behaviour != "nonsense":
                answer.infer_response.outputs.add(name="y", datatype="FP32", shape=[1, 3])
                answer.infer_response.raw_output_contents.append(np.float32([0, 2, 1]).tobytes())
            yield answer


@pytest.mark.parametrize(
    ("behaviour", "error", "says"),
    [
        ("ends", WrongProtocolError, "ended the stream before it had answered"),
        ("waits", RequestTimeoutError, "did not answer within 1 s"),
        ("nonsense", WrongProtocolError, "holds no classes"),
    ],
)
def test_servers_that_do_not_keep_to_it(behaviour, error, says):
    foreign = _Foreign(behaviour)
    patience = 1 if behaviour == "waits" else 60
    server = grpc.server(futures.ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(foreign, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with (
            connect(f"grpc://127.0.0.1:{port}") as patient,
            connect(patient.address.host_and_port, "grpc", patience) as asked,
        ):
            classifier = ImageClassifier(patient, "m")
            assert not classifier.ranked_by_server
            classifier.server = asked  # only the stream has to be quick
            frames = Frames(100_000)
            with pytest.raises(error, match=says):
                list(classify_frames(classifier, iter(frames)))
            until(lambda: frames.closed)
    finally:
        foreign.over.set()
        server.stop(None)


def test_a_server_that_is_gone_before_the_first_frame(own_server):
    """What the sending thread has to ask first fails there, and is told here."""
    running, classifier = own_server
    running.shutdown()
    frames = Frames(5)
    with pytest.raises(ServerUnreachableError, match="no server answers"):
        list(classify_frames(classifier, iter(frames)))
    until(lambda: frames.closed)


def test_a_stream_gives_answers_and_refusals_in_the_order_of_the_requests(grpc_server):
    ones = np.ones((1, 3, 8, 6), np.float32)
    requests = [Inference("colours", {"picture": ones * k}, id=str(k)) for k in range(20)]
    requests[5] = Inference("nobody", {"picture": ones})
    answers = list(grpc_server.stream(iter(requests)))
    assert isinstance(answers[5], AnswerError)
    assert "nobody" in str(answers[5])
    assert [answer.id for answer in answers if not isinstance(answer, AnswerError)] == [
        str(k) for k in range(20) if k != 5
    ]
    assert answers[7].outputs["scores"].tolist() == [[7, 7, 7]]
