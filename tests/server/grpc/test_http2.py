"""gRPC on libnghttp2, frame by frame: what no client library sends, and what it must not cost anybody else."""

import contextlib
import gc
import gzip
import random
import socket
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import ngh2
import pytest
from tritonclient.grpc import service_pb2 as pb

from h2_wire import INFER, LIVE, PREFACE, STREAM, Answer, Wire, frame, head, message
from held_models import held_server, identity, number_of
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.protocols.grpc.stream import Stream
from tcli_server.serving import ServeOptions, Server
from waiting import until

HEADERS, DATA, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 1, 0, 3, 4, 6, 7, 8, 9
BLOCK = b"\x83\x86\x41\x01x\x04" + bytes([len(LIVE)]) + LIVE + b"\x0f\x10\x10application/grpc"
"""The headers of a call, compressed by hand."""


@pytest.fixture(scope="module", autouse=True, params=["nghttp2"])
def grpc_engine(request: pytest.FixtureRequest) -> str:
    """Only this engine: grpc.aio's own behaviour is its own matter."""
    return str(request.param)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with Wire(server.grpc_port) as opened:
        yield opened


def request(number: float = 1.0, **more: object) -> bytes:
    return identity(number, **({"model_name": "identity_fp32"} | more)).SerializeToString()


def test_a_call_cut_into_single_bytes_is_answered(wire: Wire):
    wire.call_later(head(INFER), message(request(7.0)))
    for byte in wire.h2.data_to_send():
        wire.socket.sendall(bytes([byte]))
    assert number_of(pb.ModelInferResponse.FromString(wire.answer(1).messages[0])) == 7.0


def test_a_message_in_many_frames_is_one_message(wire: Wire):
    whole = message(request(3.0))
    answer = wire.ask(head(INFER), *(whole[start : start + 1] for start in range(len(whole))))
    assert number_of(pb.ModelInferResponse.FromString(answer.messages[0])) == 3.0


@pytest.mark.parametrize(
    ("pieces", "status", "said"),
    [
        ([], 13, "expected one message, found 0 messages"),
        ([message(b"") * 2], 13, "expected one message, found more"),
        ([message(b"abc")[:-1]], 13, "found 0 messages and a part of one"),
        ([b"\x00\x00"], 13, "found 0 messages and a part of one"),
        ([b"\x02\x00\x00\x00\x00"], 13, "a message begins with 2, expected 0 or 1"),
        ([b"\x00\xff\xff\xff\xff"], 8, "a message has 4294967295 bytes, expected at most 2147483647"),
        ([message(b"x", compressed=True)], 13, "a message is compressed, and grpc-encoding does not say how"),
    ],
)
def test_what_is_not_one_message_is_told(wire: Wire, pieces: list[bytes], status: int, said: str):
    answer = wire.ask(head(), *pieces)
    assert answer.status == status
    assert said in answer.details
    assert wire.is_live()


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        (head(b"/inference.GRPCInferenceService/Nothing"), 12, "Method not found!"),
        (head(LIVE, (b"grpc-encoding", b"snappy")), 12, "expected identity, gzip or deflate; found 'snappy'"),
        (head(LIVE, (b"grpc-timeout", b"soon")), 13, "grpc-timeout: expected up to 8 digits"),
        (head(LIVE, (b"grpc-timeout", b"-1S")), 13, "grpc-timeout: expected up to 8 digits"),
        (head(LIVE, (b"grpc-timeout", b"123456789S")), 13, "grpc-timeout: expected up to 8 digits"),
        (head(LIVE, (b"grpc-timeout", b"")), 13, "grpc-timeout: expected up to 8 digits"),
        (head(b"/"), 12, "Method not found!"),
        (head(LIVE + b"?x=1"), 12, "Method not found!"),
        (head(LIVE + b"/"), 12, "Method not found!"),
        (head(LIVE, (b"x", b"y" * 17_000)), 8, "expected at most 16384"),
    ],
)
def test_heads_that_are_not_answered(wire: Wire, headers: list, status: int, said: str):
    answer = wire.ask(headers, message(b""))
    assert (answer.header(b":status"), answer.status) == (b"200", status)
    assert said in answer.details
    assert answer.header(b"grpc-accept-encoding") == b"identity, gzip, deflate"
    assert wire.is_live()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (head(kind=b"application/json"), b"415"),
        (head(kind=b"application/grpc-web"), b"415"),
        (head(kind=b"application/grpcx"), b"415"),
        ([field for field in head() if field[0] != b"content-type"], b"415"),
        (head(method=b"GET"), b"405"),
        (head(method=b"PUT"), b"405"),
    ],
)
def test_what_is_not_grpc_is_refused_as_http(wire: Wire, headers: list, status: bytes):
    assert wire.ask(headers, b"{}").header(b":status") == status
    assert wire.is_live()


@pytest.mark.parametrize("kind", [b"application/grpc+proto", b"application/grpc;x=y"])
def test_what_is_grpc_by_another_name_is_answered(wire: Wire, kind: bytes):
    assert wire.ask(head(kind=kind), message(b"")).status == 0


def test_a_call_that_does_not_say_that_it_takes_trailers_is_answered(wire: Wire):
    assert wire.ask([field for field in head() if field[0] != b"te"], message(b"")).status == 0


def test_a_deadline_that_nothing_can_keep_has_passed(wire: Wire):
    assert wire.ask(head(INFER, (b"grpc-timeout", b"0S")), message(request())).status == 4


def test_a_stream_that_ends_in_the_middle_of_a_message_is_told(wire: Wire):
    answer = wire.ask(head(STREAM), message(request(2.0)), message(request(3.0))[:-3])
    assert (answer.status, answer.details) == (13, "the stream ended in the middle of a message")
    assert wire.is_live()


def test_http_1_is_closed(server: Server):
    with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=60) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while plain.recv(1 << 16):
            pass


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_messages_are_read(wire: Wire, coding: str):
    pack = gzip.compress if coding == "gzip" else zlib.compress
    headers = head(INFER, (b"grpc-encoding", coding.encode()))
    answer = wire.ask(headers, message(pack(request(5.0)), compressed=True))
    assert number_of(pb.ModelInferResponse.FromString(answer.messages[0])) == 5.0
    large = identity(6.0, model_name="identity_fp32")
    large.parameters["filler"].string_param = "".join(map(str, range(20_000)))
    answer = wire.ask(headers, message(pack(large.SerializeToString()), compressed=True))
    assert number_of(pb.ModelInferResponse.FromString(answer.messages[0])) == 6.0
    assert wire.ask(headers, message(b"nonsense", compressed=True)).status == 13
    assert wire.ask(headers, message(pack(b"x" * 100)[:-3], compressed=True)).status == 13
    assert wire.ask(headers, message(request(8.0))).status == 0  # it need not be compressed


def test_details_travel_in_percent_encoding(wire: Wire):
    answer = wire.ask(head(INFER), message(request(model_name="100 % größer")))
    assert "100 %25 gr%C3%B6%C3%9Fer" in answer.details


def test_an_answer_before_the_client_has_sent_all_ends_the_stream(wire: Wire):
    stream_id = wire.call(head(b"/nowhere"), [b"\x00\x00"], end=False)
    answer = wire.answer(stream_id)
    assert (answer.status, answer.error) == (12, 0)
    assert wire.is_live()


def test_a_client_without_a_window_gets_its_answers_when_it_opens_one(server: Server):
    with Wire(server.grpc_port, {ngh2.Setting.INITIAL_WINDOW_SIZE: 0}) as wire:
        calls = [wire.call(head(INFER), [message(request(float(number)))]) for number in range(20)]
        until(lambda: (wire.read(0.2), all(wire.answers[call].headers for call in calls))[1])
        assert not any(wire.answers[call].data for call in calls)
        wire.h2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 16})
        wire.flush()
        numbers = [number_of(pb.ModelInferResponse.FromString(wire.answer(call).messages[0])) for call in calls]
        assert numbers == list(range(20))


def test_a_call_that_is_reset_is_cancelled(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held, Wire(held.server.grpc_port) as wire:
        calls = [wire.call(head(INFER), [message(identity(1.0).SerializeToString())]) for _ in range(5)]
        held.accepted(running=1, waiting=4)
        for call in calls:
            wire.h2.reset_stream(call, ngh2.ErrorCode.CANCEL)
        wire.flush()
        until(lambda: held.cancelled == 5)
        held.allow(1)


def test_a_deadline_is_kept_without_the_client(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held, Wire(held.server.grpc_port) as wire:
        headers = head(INFER, (b"grpc-timeout", b"1500m"))
        answer = wire.ask(headers, message(identity(1.0).SerializeToString()))
        assert (answer.status, answer.details) == (4, "Deadline Exceeded")
        until(lambda: held.cancelled == 1)
        held.allow(1)


def test_pings_are_answered_and_too_many_close(server: Server):
    with Wire(server.grpc_port) as wire:
        for _ in range(2):
            wire.h2.ping()
        wire.flush()
        assert wire.is_live()
        for _ in range(10):
            wire.h2.ping()
        wire.flush()
        wire.until_closed()
        assert wire.goaway is not None
        assert (wire.goaway.error_code, wire.goaway.debug_data) == (ngh2.ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")


def test_a_client_that_takes_a_long_answer_may_ping(server: Server):
    """As gRPC's own do, to learn how fast the way is."""
    large = identity(model_name="identity_fp32")
    large.inputs[0].shape[:] = [1, 1 << 18]
    large.raw_input_contents[0] = bytes(1 << 20)
    with Wire(server.grpc_port) as wire:
        call = wire.call(head(INFER), [message(large.SerializeToString())])
        while not wire.answers[call].over:
            assert wire.read()
            if wire.answers[call].data:
                wire.h2.ping()
                wire.flush()
        assert wire.answers[call].status == 0
        assert wire.goaway is None


def test_streams_that_are_cancelled_unread_give_their_window_back(
    tmp_path: Path, loopback: ServeOptions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tcli_server.protocols.grpc.http2.connection._CONNECTION_WINDOW", 1 << 22)
    with held_server(tmp_path, loopback) as held, Wire(held.server.grpc_port) as wire:
        body = message(identity(1.0).SerializeToString() + b"\x7a\x80\x80\x40" + bytes(1 << 20))
        for _ in range(4):
            call = wire.call(head(STREAM), [body] * 80, end=False)
            until(lambda: not wire.read(0.3))
            wire.h2.reset_stream(call, ngh2.ErrorCode.CANCEL)
            wire.flush()
        until(lambda: not wire.read(0.3))
        large = b"\x7a\x80\x80\x40" + bytes(1 << 20)  # refused, as nobody needs that, but read
        assert wire.ask(head(), message(large)).status == 3


def test_what_follows_the_end_of_compressed_data_is_not_looked_at(wire: Wire):
    headers = head(INFER, (b"grpc-encoding", b"gzip"))
    answer = wire.ask(headers, message(gzip.compress(request(1.0)) + bytes(64 << 20), compressed=True))
    assert answer.status == 13
    assert "ends too early or too late" in answer.details


def test_a_call_that_breaks_http_leaves_nothing_behind(server: Server):
    with Wire(server.grpc_port) as wire:
        calls = [wire.h2.send_request(head(INFER)) for _ in range(40)]
        for call in calls:
            wire.answers[call] = Answer()
            wire.h2.send_data(call, message(request(1.0)), end_stream=True)
        broken = wire.h2.send_request(head(INFER, (b"content-length", b"3")))
        wire.answers[broken] = Answer()
        wire.h2.send_data(broken, bytes(10), end_stream=True)
        wire.flush()
        assert [wire.answer(call).status for call in calls] == [0] * 40
        assert wire.answer(broken).error == ngh2.ErrorCode.PROTOCOL_ERROR
        assert server._grpc is not None
        shared = server._grpc._listener._shared
        until(lambda: not any(connection._calls for connection in shared.connections))


def test_a_silent_client_is_pinged_and_given_up(tmp_path: Path, loopback: ServeOptions):
    options = GrpcOptions(keepalive_time=500, keepalive_timeout=500, keepalive_permit_without_calls=True)
    with held_server(tmp_path, loopback, options) as held:
        with Wire(held.server.grpc_port) as wire:
            until(lambda: wire.read(0.2) and wire.pings > 0)  # and it answers
            assert wire.is_live()
        with socket.create_connection(("127.0.0.1", held.server.grpc_port), timeout=60) as silent:
            silent.sendall(PREFACE + frame(SETTINGS, 0, 0))
            while silent.recv(1 << 16):
                pass


def test_an_old_connection_is_asked_to_leave(tmp_path: Path, loopback: ServeOptions):
    options = GrpcOptions(max_connection_age=300)
    with held_server(tmp_path, loopback, options) as held, Wire(held.server.grpc_port) as wire:
        call = wire.call(head(INFER), [message(identity(1.0).SerializeToString())])
        until(lambda: wire.read(0.2) and wire.goaway is not None)
        held.allow(1)
        assert wire.answer(call).status == 0  # what is under way is answered
        wire.until_closed()


def test_who_reads_slowly_gets_the_whole_answer_before_an_old_connection_closes(tmp_path: Path, loopback: ServeOptions):
    options = GrpcOptions(max_connection_age=300)
    large = identity(model_name="free")
    large.inputs[0].shape[:] = [1, 1 << 18]
    large.raw_input_contents[0] = bytes(1 << 20)
    no_window = {ngh2.Setting.INITIAL_WINDOW_SIZE: 0}
    with held_server(tmp_path, loopback, options) as held, Wire(held.server.grpc_port, no_window) as wire:
        call = wire.call(head(INFER), [message(large.SerializeToString())])
        until(lambda: (wire.read(0.2), wire.goaway is not None and wire.goaway.last_stream_id == call)[1])
        assert not wire.read(1)
        assert wire.answers[call].headers
        assert not wire.closed
        wire.h2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 16})
        wire.flush()
        assert wire.answer(call).status == 0
        assert len(wire.answers[call].messages[0]) > 1 << 20


def test_a_connection_that_never_speaks_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_server.protocols.grpc.http2.connection.HANDSHAKE_SECS", 0.1)
    with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=60) as silent:
        while silent.recv(1 << 16):
            pass


def test_who_keeps_too_many_calls_open_loses_the_connection_and_nobody_else_does(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(server._grpc._listener._shared, "most_open", 20)
    with Wire(server.grpc_port) as modest, Wire(server.grpc_port) as greedy:
        stream = modest.call(head(STREAM), [message(request())], end=False)
        for path in (STREAM, INFER, b"/grpc.health.v1.Health/Watch"):
            for _ in range(10):
                greedy.call(head(path), end=False)
        greedy.until_closed()
        assert greedy.goaway is not None
        assert greedy.goaway.error_code == ngh2.ErrorCode.ENHANCE_YOUR_CALM
        assert "30 of them, is closed" in caplog.text
        modest.h2.send_data(stream, b"", end_stream=True)
        modest.flush()
        assert (modest.answer(stream).status, len(modest.answers[stream].messages)) == (0, 1)


def test_of_refused_calls_that_are_not_ended_little_is_kept(wire: Wire):
    tracemalloc.start()
    calls = [wire.call(head(b"/%03d%b" % (number, b"x" * 14_000)), end=False) for number in range(400)]
    while any(wire.answers[call].status is None for call in calls):
        assert wire.read()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert {wire.answers[call].status for call in calls} == {12}
    assert held < 3_000_000


def test_streams_that_are_left_are_no_work_for_the_garbage_collector(server: Server):
    """Which stops everything, and for long if thousands of them are left at once."""
    gc.collect()
    gc.disable()
    try:
        with Wire(server.grpc_port) as wire:
            for _ in range(300):  # more than end in one turn
                wire.call(head(STREAM), end=False)
            wire.is_live()
            assert streams()
        until(lambda: not streams())
    finally:
        gc.enable()


def streams() -> list[object]:
    return [one for one in gc.get_objects() if type(one) is Stream]


def test_rapid_resets_cost_one_connection_only(server: Server):
    """CVE-2023-44487."""
    with Wire(server.grpc_port) as wire:
        with contextlib.suppress(OSError):  # it is closed on us
            for _ in range(20_000):
                wire.h2.reset_stream(wire.call(head(INFER), end=False), ngh2.ErrorCode.CANCEL)
                wire.flush()
        until(lambda: not wire.read(1) and wire.closed)
    with Wire(server.grpc_port) as other:
        assert other.is_live()


def hostile(kind: str) -> bytes:
    """Frames behind a good beginning."""
    start = PREFACE + frame(SETTINGS, 0, 0)
    begun = frame(HEADERS, 4, 1, BLOCK)
    match kind:
        case "continuations":
            return start + frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b") * 100_000
        case "settings":
            return start + frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64") * 50_000
        case "pings":
            return start + frame(PING, 0, 0, bytes(8)) * 50_000
        case "empty data":
            return start + begun + frame(DATA, 0, 1) * 50_000
        case "windows":
            return start + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2
        case "a frame of 16 MB":
            return start + b"\xff\xff\xff" + bytes([DATA, 0]) + (1).to_bytes(4, "big") + bytes(1 << 20)
        case "an even stream":
            return start + frame(HEADERS, 4, 2, b"\x83\x86\x84")
        case "a header bomb":
            entry = b"\x40\x01a\x7f\xa1\x1f" + b"b" * 4_000
            first = frame(HEADERS, 4, 1, BLOCK + entry)
            return (
                start + first + b"".join(frame(HEADERS, 5, 3 + 2 * each, BLOCK + b"\xbe" * 12) for each in range(5_000))
            )
        case _:
            return start + b"\x00" * 100_000


@pytest.mark.parametrize("kind", [
    "continuations", "settings", "pings", "empty data", "windows", "a frame of 16 MB", "an even stream", "a header bomb",
    "zeros",
])  # fmt: skip
def test_floods_cost_one_connection_only(server: Server, kind: str):
    with Wire(server.grpc_port) as other:
        with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=60) as hostile_one:
            try:
                hostile_one.sendall(hostile(kind))
                while hostile_one.recv(1 << 16):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was closed on us; that it stays open is a failure
        assert other.is_live()


def test_frames_at_random_find_nothing(server: Server):
    seed = int(time.time())
    chance = random.Random(seed)
    good = frame(HEADERS, 4, 1, BLOCK) + frame(DATA, 1, 1, message(b""))
    for _ in range(500):
        sent = bytearray(PREFACE + frame(SETTINGS, 0, 0) + good)
        for _ in range(chance.randrange(1, 6)):
            match chance.randrange(3):
                case 0 if len(sent) > len(PREFACE):
                    sent[chance.randrange(len(PREFACE), len(sent))] = chance.randrange(256)
                case 1:
                    payload = chance.randbytes(chance.randrange(40))
                    sent += frame(chance.randrange(12), chance.randrange(256), chance.randrange(6), payload)
                case _:
                    del sent[chance.randrange(len(PREFACE), len(sent) + 1) :]
        with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=60) as one:
            one.sendall(sent)
            one.shutdown(socket.SHUT_WR)
            try:
                while one.recv(1 << 16):
                    pass
            except OSError:
                pass
    with Wire(server.grpc_port) as wire:
        assert wire.is_live(), f"seed {seed}"


def test_a_stream_whose_reader_is_slow_is_not_read_without_end(tmp_path: Path, loopback: ServeOptions):
    with held_server(tmp_path, loopback) as held, Wire(held.server.grpc_port) as wire:
        body = message(identity(1.0).SerializeToString() + b"\x7a\x80\x80\x40" + bytes(1 << 20))  # 1 MiB each
        call = wire.call(head(STREAM), [body] * 200, end=False)
        until(lambda: not wire.read(0.5))
        waits = wire.h2.queued_body_size(call)
        assert waits > 50 * len(body)  # most of it was not taken
        wire.h2.reset_stream(call)
        wire.flush()
        held.allow(100)
