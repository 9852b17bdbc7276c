"""What RFC 9113 says of frames that a client must not send, section by section, and that it costs the others nothing."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from h2_wire import LIVE, PATIENCE, PREFACE, Wire, frame, message
from tcli_server.serving import Server

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL, _, STREAM_CLOSED, FRAME_SIZE = range(7)
COMPRESSION, CALM = 9, 11

LARGEST = 1 << 20
"""SETTINGS_MAX_FRAME_SIZE of this server."""


@pytest.fixture(scope="module", autouse=True, params=["nghttp2"])
def grpc_engine(request: pytest.FixtureRequest) -> str:
    """Only this engine: grpc.aio's own behaviour is its own matter."""
    return str(request.param)


@pytest.fixture(scope="module")
def bystander(server: Server) -> Iterator[Wire]:
    """A connection that has nothing to do with it all."""
    with Wire(server.grpc_port) as opened:
        yield opened


def literal(name: bytes, value: bytes) -> bytes:
    """A header field without compression."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def block(*fields: tuple[bytes, bytes], without: bytes = b"", first: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """The headers of a call, and more; without one of them."""
    usual = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", LIVE), (b":authority", b"x"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers"),
    ]  # fmt: skip
    chosen = [*first, *(one for one in usual if one[0] != without), *fields]
    return b"".join(literal(*one) for one in chosen)


def headers(stream: int, *fields: tuple[bytes, bytes], **more: object) -> bytes:
    """Of a call whose message is still to come."""
    return frame(HEADERS, END_HEADERS, stream, block(*fields, **more))  # type: ignore[arg-type]


def data(stream: int) -> bytes:
    """The message of a call, and its end."""
    return frame(DATA, END_STREAM, stream, message(b""))


def call(stream: int) -> bytes:
    return headers(stream) + data(stream)


def setting(number: int, value: int) -> bytes:
    return number.to_bytes(2, "big") + value.to_bytes(4, "big")


START = PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0)
HEAD = headers(1)
DONE = frame(PING, 0, 0, b"was that")


@dataclass
class Heard:
    """What a server sent until it closed, or answered the ping at the end."""

    goaway: int | None = None
    resets: dict[int, int] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    pinged: bool = False
    closed: bool = False


def hear(port: int, sent: bytes, answers: int = 0) -> Heard:
    """Send it and listen; to the end, or until a ping behind it and so many streams are answered."""
    heard, received = Heard(), b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as one:
        try:
            one.sendall(sent + DONE)
            while not (heard.pinged and len(heard.answered) + len(heard.resets) >= answers):
                received += (came := one.recv(1 << 16))
                if not came:
                    break
                received = take(heard, received)
        except ConnectionError:
            heard.closed = True
            return heard
        heard.closed = not heard.pinged
    return heard


def take(heard: Heard, received: bytes) -> bytes:
    """Read the frames that are whole; gives what is left."""
    while len(received) >= 9 and len(received) >= (end := 9 + int.from_bytes(received[:3], "big")):
        kind, flags, stream = received[3], received[4], int.from_bytes(received[5:9], "big")
        payload, received = received[9:end], received[end:]
        if kind == GOAWAY:
            heard.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == RESET:
            heard.resets[stream] = int.from_bytes(payload, "big")
        elif kind == HEADERS and flags & END_STREAM:
            heard.answered.add(stream)
        elif kind == PING and flags & ACK:
            heard.pinged = True
    return received


CONNECTION_ERRORS: dict[str, tuple[bytes, int | None]] = {
    "3.4 HTTP/1.1 instead of the preface": (b"GET / HTTP/1.1\r\n\r\n" + bytes(40), None),
    "3.4 a preface with a wrong end": (PREFACE[:-1] + b"x" + frame(SETTINGS, 0, 0), None),
    "3.4 no SETTINGS first": (PREFACE + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
    "3.4 an acknowledgement first": (PREFACE + frame(SETTINGS, ACK, 0), PROTOCOL_ERROR),
    "4.2 DATA above the largest size": (START + HEAD + frame(DATA, 0, 1, bytes(LARGEST + 1)), FRAME_SIZE),
    "4.2 HEADERS above the largest size": (START + frame(HEADERS, 4, 1, bytes(LARGEST + 1)), FRAME_SIZE),
    "4.2 SETTINGS above the largest size": (START + frame(SETTINGS, 0, 0, bytes(6 * (1 << 18))), FRAME_SIZE),
    "4.3 an index that is not in the table": (START + frame(HEADERS, 5, 1, b"\xff\xff\xff\x7f"), COMPRESSION),
    "4.3 the index 0": (START + frame(HEADERS, 5, 1, b"\x80"), COMPRESSION),
    "4.3 a block that ends in its middle": (START + frame(HEADERS, 5, 1, block()[:-3]), COMPRESSION),
    "4.3 a table above the limit": (START + frame(HEADERS, 5, 1, b"\x3f\xe1\xff\x7f" + block()), COMPRESSION),
    "4.3 a change of the table behind a field": (START + frame(HEADERS, 5, 1, b"\x83\x20" + block()), COMPRESSION),
    "4.3 Huffman code with the end of strings": (START + frame(HEADERS, 5, 1, b"\0\x84\xff\xff\xff\xff\x01a"), COMPRESSION),
    "4.3 an integer without end": (START + frame(HEADERS, 5, 1, b"\x7f" + b"\xff" * 20), COMPRESSION),
    "4.3 another frame within a block": (START + frame(HEADERS, 0, 1, block()) + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
    "4.3 another stream within a block": (START + frame(HEADERS, 0, 1, block()) + frame(CONTINUATION, 4, 3), PROTOCOL_ERROR),
    "4.3 an unknown frame within a block": (START + frame(HEADERS, 0, 1, block()) + frame(99, 0, 1), PROTOCOL_ERROR),
    "5.1 idle: DATA": (START + data(1), PROTOCOL_ERROR),
    "5.1 idle: RST_STREAM": (START + frame(RESET, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "5.1 idle: WINDOW_UPDATE": (START + frame(WINDOW, 0, 1, b"\0\0\0\1"), PROTOCOL_ERROR),
    "5.1 idle: CONTINUATION": (START + frame(CONTINUATION, 4, 1, block()), PROTOCOL_ERROR),
    "5.1 half-closed: DATA": (START + call(1) + data(1), STREAM_CLOSED),
    "5.1 half-closed: HEADERS": (START + call(1) + headers(1), STREAM_CLOSED),
    "5.1.1 an even stream": (START + call(2), PROTOCOL_ERROR),
    "5.3.1 a stream that depends on itself": (START + frame(HEADERS, 37, 1, b"\0\0\0\1\x10" + block()), PROTOCOL_ERROR),
    "6.1 DATA on the connection": (START + frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "6.1 padding as long as the frame": (START + HEAD + frame(DATA, PADDED, 1, b"\x06hello"), PROTOCOL_ERROR),
    "6.1 padding without its length": (START + HEAD + frame(DATA, PADDED, 1), PROTOCOL_ERROR),
    "6.2 HEADERS on the connection": (START + headers(0), PROTOCOL_ERROR),
    "6.2 padding as long as the frame": (START + frame(HEADERS, 12, 1, b"\xff" + block()), PROTOCOL_ERROR),
    "6.2 too short for its priority": (START + frame(HEADERS, 36, 1, b"\0\0\0"), FRAME_SIZE),
    "6.3 PRIORITY of another length": (START + HEAD + frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE),
    "6.4 RST_STREAM on the connection": (START + frame(RESET, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "6.4 RST_STREAM of another length": (START + HEAD + frame(RESET, 0, 1, bytes(3)), FRAME_SIZE),
    "6.5 SETTINGS on a stream": (START + frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "6.5 an acknowledgement with something in it": (START + frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE),
    "6.5 SETTINGS of another length": (START + frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE),
    "6.5.2 ENABLE_PUSH 2": (START + frame(SETTINGS, 0, 0, setting(2, 2)), PROTOCOL_ERROR),
    "6.5.2 a window above 2^31 - 1": (START + frame(SETTINGS, 0, 0, setting(4, 1 << 31)), FLOW_CONTROL),
    "6.5.2 frames below 16384": (START + frame(SETTINGS, 0, 0, setting(5, 16383)), PROTOCOL_ERROR),
    "6.5.2 frames above 2^24 - 1": (START + frame(SETTINGS, 0, 0, setting(5, 1 << 24)), PROTOCOL_ERROR),
    "6.5.3 more acknowledgements than settings": (START + frame(SETTINGS, ACK, 0), PROTOCOL_ERROR),
    "6.6 PUSH_PROMISE from a client": (START + HEAD + frame(PUSH_PROMISE, 4, 1, b"\0\0\0\2" + block()), PROTOCOL_ERROR),
    "6.7 PING on a stream": (START + HEAD + frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "6.7 PING of another length": (START + frame(PING, 0, 0, bytes(6)), FRAME_SIZE),
    "6.8 GOAWAY on a stream": (START + HEAD + frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "6.8 GOAWAY that is too short": (START + frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE),
    "6.9 WINDOW_UPDATE of another length": (START + frame(WINDOW, 0, 0, bytes(3)), FRAME_SIZE),
    "6.9 WINDOW_UPDATE by 0 of the connection": (START + frame(WINDOW, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "6.9.1 the connection's window above 2^31 - 1": (START + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL),
    "6.9 WINDOW_UPDATE by 0": (START + HEAD + frame(WINDOW, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "6.9.1 a stream's window above 2^31 - 1": (START + HEAD + frame(WINDOW, 0, 1, b"\x7f\xff\xff\xff"), FLOW_CONTROL),
    "6.9.2 SETTINGS that make a stream's window too large": (
        START + HEAD + frame(WINDOW, 0, 1, b"\x7f\xff\0\0") + frame(SETTINGS, 0, 0, setting(4, 1 << 20)), FLOW_CONTROL,
    ),
    "6.10 CONTINUATION on the connection": (START + frame(CONTINUATION, 4, 0, b""), PROTOCOL_ERROR),
    "6.10 CONTINUATION behind a block that has ended": (START + HEAD + frame(CONTINUATION, 4, 1, block()), PROTOCOL_ERROR),
    "6.10 CONTINUATION behind DATA": (START + HEAD + frame(DATA, 0, 1, b"x") + frame(CONTINUATION, 4, 1), PROTOCOL_ERROR),
}  # fmt: skip
"""Frames, and the error of the GOAWAY that they are answered with; None: closed without one. Errors of streams may be the connection's."""

STREAM_ERRORS: dict[str, tuple[bytes, int]] = {
    "8.1 trailers without the end of the stream": (HEAD + frame(HEADERS, 4, 1, literal(b"a", b"b")), PROTOCOL_ERROR),
    "8.1 pseudo-header in trailers": (HEAD + frame(HEADERS, 5, 1, literal(b":path", b"/")), PROTOCOL_ERROR),
    "8.1.1 more than the content-length": (headers(1, (b"content-length", b"1")) + data(1), PROTOCOL_ERROR),
    "8.1.1 less than the content-length": (headers(1, (b"content-length", b"9")) + data(1), PROTOCOL_ERROR),
    "8.1.1 two content-lengths": (headers(1, (b"content-length", b"5"), (b"content-length", b"6")) + data(1), PROTOCOL_ERROR),
    "8.1.1 a content-length that is no number": (headers(1, (b"content-length", b"-1")) + data(1), PROTOCOL_ERROR),
    "8.2.1 an upper-case name": (headers(1, (b"Name", b"x")) + data(1), PROTOCOL_ERROR),
    "8.2.1 a name with a space": (headers(1, (b"na me", b"x")) + data(1), PROTOCOL_ERROR),
    "8.2.1 a name with a colon in it": (headers(1, (b"na:me", b"x")) + data(1), PROTOCOL_ERROR),
    "8.2.1 an empty name": (headers(1, (b"", b"x")) + data(1), PROTOCOL_ERROR),
    "8.2.1 a value with a line break": (headers(1, (b"name", b"x\r\ny: z")) + data(1), PROTOCOL_ERROR),
    "8.2.1 a value with a zero": (headers(1, (b"name", b"x\0")) + data(1), PROTOCOL_ERROR),
    "8.2.1 a value with spaces around": (headers(1, (b"name", b" x ")) + data(1), PROTOCOL_ERROR),
    "8.2.2 connection": (headers(1, (b"connection", b"keep-alive")) + data(1), PROTOCOL_ERROR),
    "8.2.2 transfer-encoding": (headers(1, (b"transfer-encoding", b"chunked")) + data(1), PROTOCOL_ERROR),
    "8.2.2 keep-alive": (headers(1, (b"keep-alive", b"1")) + data(1), PROTOCOL_ERROR),
    "8.2.2 proxy-connection": (headers(1, (b"proxy-connection", b"x")) + data(1), PROTOCOL_ERROR),
    "8.2.2 upgrade": (headers(1, (b"upgrade", b"h2c")) + data(1), PROTOCOL_ERROR),
    "8.2.2 te that is not trailers": (headers(1, (b"te", b"gzip"), without=b"te") + data(1), PROTOCOL_ERROR),
    "8.3 a pseudo-header behind another": (headers(1, (b":path", LIVE), without=b":path") + data(1), PROTOCOL_ERROR),
    "8.3 an unknown pseudo-header": (headers(1, first=((b":protocol2", b"x"),)) + data(1), PROTOCOL_ERROR),
    "8.3 one of an answer": (headers(1, first=((b":status", b"200"),)) + data(1), PROTOCOL_ERROR),
    "8.3 one of them twice": (headers(1, first=((b":path", LIVE),)) + data(1), PROTOCOL_ERROR),
    "8.3.1 no :method": (headers(1, without=b":method") + data(1), PROTOCOL_ERROR),
    "8.3.1 no :scheme": (headers(1, without=b":scheme") + data(1), PROTOCOL_ERROR),
    "8.3.1 no :path": (headers(1, without=b":path") + data(1), PROTOCOL_ERROR),
    "8.3.1 an empty :path": (headers(1, first=((b":path", b""),), without=b":path") + data(1), PROTOCOL_ERROR),
    "8.3.1 no :authority": (headers(1, without=b":authority") + data(1), PROTOCOL_ERROR),
}  # fmt: skip
"""Frames of stream 1, and the error that it is reset with; stream 3 is answered all the same."""

GOOD: dict[str, bytes] = {
    "4.1 a frame of an unknown type": frame(99, 255, 0, b"x") + call(1),
    "4.1 flags that mean nothing, and the reserved bit": frame(PING, 0xFE, 1 << 31, bytes(8)) + call(1),
    "4.2 DATA of the largest size": headers(1) + frame(DATA, 0, 1, message(b"\x7a" + b"\xfb\xff\x3f" + bytes(LARGEST - 9))) + frame(DATA, 1, 1),
    "4.3 a block in three frames": frame(HEADERS, 0, 1, block()[:5]) + frame(CONTINUATION, 0, 1, block()[5:9]) + frame(CONTINUATION, 4, 1, block()[9:]) + data(1),
    "5.1 idle: PRIORITY": frame(PRIORITY, 0, 1, bytes(4) + b"\1") + call(1),
    "5.1 half-closed: PRIORITY and WINDOW_UPDATE": call(1) + frame(PRIORITY, 0, 1, bytes(4) + b"\1") + frame(WINDOW, 0, 1, b"\0\0\0\1"),
    "5.1.1 a stream below one that there was, which libnghttp2 takes for one that has ended": call(5) + headers(3),
    "5.1.1 streams that are left out": call(1) + call(101),
    "6.1 padding": headers(1) + frame(DATA, PADDED | END_STREAM, 1, b"\3" + message(b"") + bytes(3)),
    "6.1 empty DATA": headers(1) + frame(DATA, 0, 1) + data(1),
    "6.2 padding and priority": frame(HEADERS, 44, 1, b"\2" + bytes(4) + b"\1" + block() + bytes(2)) + data(1),
    "6.3 PRIORITY on the connection, which libnghttp2 ignores as all priorities": frame(PRIORITY, 0, 0, bytes(5)) + call(1),
    "6.4 an error code that nobody knows": headers(3) + frame(RESET, 0, 3, b"\0\0\1\0") + call(5),
    "6.5.2 a setting that nobody knows": frame(SETTINGS, 0, 0, setting(0x99, 1)) + call(1),
    "6.5.2 every setting": frame(SETTINGS, 0, 0, b"".join(map(setting, range(1, 7), (0, 0, 1, 65535, 16384, 9)))) + call(1),
    "6.7 an answer to no ping": frame(PING, ACK, 0, bytes(8)) + call(1),
    "6.9 windows": frame(WINDOW, 0, 0, b"\0\0\1\0") + headers(1) + frame(WINDOW, 0, 1, b"\0\0\1\0") + data(1),
    "8.1 trailers": headers(1) + frame(DATA, 0, 1, message(b"")) + frame(HEADERS, 5, 1, literal(b"a", b"b")),
    "8.2.3 cookies": headers(1, (b"cookie", b"a=b"), (b"cookie", b"c=d")) + data(1),
}  # fmt: skip
"""Frames that look odd and are right, or ignored: a call among them is answered."""


@pytest.mark.parametrize("case", CONNECTION_ERRORS)
def test_an_error_of_the_connection_closes_it_and_says_why(server: Server, bystander: Wire, case: str):
    sent, error = CONNECTION_ERRORS[case]
    heard = hear(server.grpc_port, sent)
    assert (heard.goaway, heard.closed) == (error, True)
    assert bystander.is_live()


@pytest.mark.parametrize("case", STREAM_ERRORS)
def test_an_error_of_a_stream_resets_it_and_leaves_the_connection(server: Server, bystander: Wire, case: str):
    sent, error = STREAM_ERRORS[case]
    heard = hear(server.grpc_port, START + sent + call(3), answers=2)
    assert (heard.resets.get(1), heard.goaway, heard.closed) == (error, None, False)
    assert 3 in heard.answered
    assert bystander.is_live()


@pytest.mark.parametrize("case", GOOD)
def test_what_is_odd_and_right_is_answered(server: Server, bystander: Wire, case: str):
    heard = hear(server.grpc_port, START + GOOD[case], answers=1)
    assert (len(heard.answered) > 0, heard.resets, heard.goaway, heard.closed) == (True, {}, None, False)
    assert bystander.is_live()


def test_a_connection_of_the_client_that_leaves_is_served_to_its_end(server: Server):
    """6.8: a GOAWAY of the client's is about streams of ours, of which there are none."""
    heard = hear(server.grpc_port, START + HEAD + frame(GOAWAY, 0, 0, bytes(8)) + data(1), answers=1)
    assert (heard.answered, heard.goaway) == ({1}, None)
