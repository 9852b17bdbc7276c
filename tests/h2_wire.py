"""A gRPC client that sends what it is told, frame by frame: by libnghttp2, or by hand."""

import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import ngh2
from tritonclient.grpc import service_pb2 as pb

Header = tuple[bytes, bytes]

INFER = b"/inference.GRPCInferenceService/ModelInfer"
STREAM = b"/inference.GRPCInferenceService/ModelStreamInfer"
LIVE = b"/inference.GRPCInferenceService/ServerLive"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATIENCE = 60.0


def head(path: bytes = LIVE, *more: Header, method: bytes = b"POST", kind: bytes = b"application/grpc") -> list[Header]:
    """The headers of a call."""
    usual = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost")]
    return [*usual, (b"content-type", kind), (b"te", b"trailers"), *more]


def message(content: bytes, compressed: bool = False) -> bytes:
    """A message with its prefix."""
    return bytes([compressed]) + len(content).to_bytes(4, "big") + content


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame, right or wrong."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


@dataclass
class Answer:
    """What came back on a stream."""

    headers: list[Header] = field(default_factory=list)
    data: bytes = b""
    over: bool = False
    error: int | None = None

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def status(self) -> int | None:
        value = self.header(b"grpc-status")
        return None if value is None else int(value)

    @property
    def details(self) -> str:
        return (self.header(b"grpc-message") or b"").decode()

    @property
    def messages(self) -> list[bytes]:
        found, rest = [], self.data
        while rest:
            size = int.from_bytes(rest[1:5], "big")
            found.append(rest[5 : 5 + size])
            rest = rest[5 + size :]
        return found


class Wire:
    """One connection.

    Args:
        settings: of the client; such as no window at all.
    """

    def __init__(self, port: int, settings: dict[ngh2.Setting, int] | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.h2 = ngh2.Connection(ngh2.Role.CLIENT)
        self.answers: dict[int, Answer] = {}
        self.goaway: ngh2.GoAwayReceived | None = None
        self.closed = False
        self.pings = 0
        self.h2.initiate_connection(settings)
        self.flush()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what is to be sent."""
        while data := self.h2.data_to_send():
            self.socket.sendall(data)

    def call(self, headers: Sequence[Header], pieces: Iterable[bytes] = (), end: bool = True) -> int:
        """Begin a call; gives its stream."""
        pieces = list(pieces)
        stream_id = self.h2.send_request(headers, end_stream=end and not pieces)
        for number, piece in enumerate(pieces):
            self.h2.send_data(stream_id, piece, end_stream=end and number == len(pieces) - 1)
            self.flush()
        self.answers[stream_id] = Answer()
        self.flush()
        return stream_id

    def call_later(self, headers: Sequence[Header], data: bytes) -> None:
        """Begin a call, without sending anything of it yet."""
        stream_id = self.h2.send_request(headers)
        self.h2.send_data(stream_id, data, end_stream=True)
        self.answers[stream_id] = Answer()

    def read(self, secs: float = PATIENCE) -> bool:
        """Take what comes next; False if nothing more will, or does in time."""
        self.socket.settimeout(secs)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        try:
            self.h2.receive_data(data)
            for event in self.h2.events():
                self._take_event(event)
            self.flush()
        except ngh2.ConnectionStateError:  # there is nothing left to hear
            assert self.goaway is not None
        return True

    def answer(self, stream_id: int) -> Answer:
        """Wait until a stream is over."""
        deadline = time.monotonic() + PATIENCE
        while not self.answers[stream_id].over:
            assert self.read(max(0.01, deadline - time.monotonic())), f"no end: {self.answers[stream_id]}"
        return self.answers[stream_id]

    def ask(self, headers: Sequence[Header], *pieces: bytes) -> Answer:
        """A call and its answer."""
        return self.answer(self.call(headers, pieces))

    def is_live(self) -> bool:
        """Whether the server answers on this connection."""
        answer = self.ask(head(), message(b""))
        return answer.status == 0 and pb.ServerLiveResponse.FromString(answer.messages[0]).live

    def until_closed(self) -> None:
        """Wait until the server closes."""
        while self.read():
            pass
        assert self.closed

    def _take_event(self, event: object) -> None:
        match event:
            case (
                ngh2.ResponseReceived(stream_id=stream_id, headers=headers)
                | ngh2.TrailersReceived(stream_id=stream_id, headers=headers)
            ):
                self.answers[stream_id].headers += headers
            case ngh2.DataReceived(stream_id=stream_id, data=data):
                self.answers[stream_id].data += data
            case ngh2.StreamClosed(stream_id=stream_id, error_code=error):
                if stream_id in self.answers:
                    self.answers[stream_id].over = True
                    self.answers[stream_id].error = error
            case ngh2.GoAwayReceived():
                self.goaway = event
            case ngh2.PingReceived():
                self.pings += 1
