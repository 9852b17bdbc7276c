"""What HTTP/2 clients send, from a seed: a good beginning, and then frames that are mutated, random or out of place. Pure: sends nothing."""

import random
from collections.abc import Iterator

from h2_wire import INFER, LIVE, PREFACE, STREAM, frame, message

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PATHS = (INFER, STREAM, LIVE, b"/nowhere", b"/", b"")
FIELDS = (
    (b"grpc-timeout", b"1m"), (b"grpc-timeout", b"99999999H"), (b"grpc-timeout", b"0n"), (b"grpc-timeout", b"x"),
    (b"grpc-encoding", b"gzip"), (b"grpc-encoding", b"snappy"), (b"grpc-accept-encoding", b"gzip,,x"),
    (b"content-length", b"5"), (b"content-length", b"99999999999999999999"), (b"x-bin", b"!!"), (b"", b""),
    (b"Upper", b"x"), (b"connection", b"close"), (b":path", b"/"), (b":status", b"200"), (b"te", b"gzip"), (b"x", b"\0"),
)  # fmt: skip
NUMBERS = (0, 1, 2, 4, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def h2_connections(seed: int) -> Iterator[bytes]:
    """Without end: the bytes that one connection sends."""
    rng = random.Random(seed)
    while True:
        frames = _conversation(rng)
        for _ in range(rng.choice((0, 1, 2, 5))):
            frames.insert(rng.randint(1, len(frames)), _plausible(rng))
        how = rng.random()
        if how < 0.1:
            rng.shuffle(frames)
        elif how < 0.3:
            for _ in range(rng.choice((1, 1, 2, 8))):
                frames.insert(rng.randrange(len(frames) + 1), _odd(rng))
        sent = bytearray(frame(SETTINGS, 0, 0) + b"".join(frames))
        if how > 0.8:
            _damage(rng, sent)
        yield PREFACE + bytes(sent)


def _conversation(rng: random.Random) -> list[bytes]:
    """A few right calls, with something in them that may not be."""
    frames: list[bytes] = []
    for stream in range(1, 2 * rng.randint(1, 4), 2):
        block = _block(rng)
        cut = rng.randrange(len(block)) if rng.random() < 0.2 else 0
        frames += [frame(HEADERS, 0, stream, block[:cut]), frame(CONTINUATION, 4, stream, block[cut:])] if cut else [
            frame(HEADERS, 4, stream, block)
        ]  # fmt: skip
        content = message(rng.randbytes(rng.choice((0, 0, 3, 300))), compressed=rng.random() < 0.1)
        frames.append(frame(DATA, int(rng.random() < 0.8), stream, content[: rng.choice((None, None, None, 3))]))
    return frames


def _block(rng: random.Random) -> bytes:
    """Headers of a call, compressed by hand."""
    path = rng.choice(PATHS)
    block = b"\x83\x86\x41\x01x\x04" + bytes([len(path)]) + path + b"\x0f\x10\x10application/grpc"
    for name, value in rng.sample(FIELDS, rng.choice((0, 0, 0, 1, 3))):
        block += rng.choice((b"\x00", b"\x40", b"\x10")) + bytes([len(name)]) + name + bytes([len(value)]) + value
    return block


def _plausible(rng: random.Random) -> bytes:
    """A frame that a client may send nearly anywhere."""
    stream = rng.choice((1, 1, 1, 1, 3))
    match rng.randrange(8):
        case 0:
            return frame(RESET, 0, stream, rng.randrange(14).to_bytes(4, "big"))
        case 1:
            return frame(WINDOW, 0, rng.choice((0, stream)), rng.choice((1, 70_000, 1 << 24)).to_bytes(4, "big"))
        case 2:
            return frame(PRIORITY, 0, stream, bytes(4) + b"\x10")
        case 3:
            number, value = rng.choice(
                ((1, 0), (1, 4096), (3, 1), (4, 0), (4, 10), (4, 1 << 20), (5, 16384), (6, 10), (99, 7))
            )
            return frame(SETTINGS, 0, 0, number.to_bytes(2, "big") + value.to_bytes(4, "big"))
        case 4:
            return frame(PING, rng.randrange(2), 0, rng.randbytes(8))
        case 5:
            return frame(GOAWAY, 0, 0, bytes(4) + rng.randrange(14).to_bytes(4, "big"))
        case 6:
            return frame(rng.randrange(10, 256), rng.randrange(256), stream, rng.randbytes(5))
        case _:
            return frame(DATA, rng.choice((0, 0, 8)), stream, b"\0" * rng.choice((0, 1, 5, 9)))


def _odd(rng: random.Random) -> bytes:
    """A frame that may be right in its place, which this hardly is."""
    kind, stream = rng.randrange(12), rng.choice((0, 0, 1, 1, 2, 3, 5, 7, 0x7FFFFFFF, 0xFFFFFFFF))
    flags = rng.choice((0, 1, 4, 5, 8, 32, 45, rng.randrange(256)))
    number = rng.choice(NUMBERS).to_bytes(4, "big")
    match kind:
        case 1 | 9 if rng.random() < 0.5:
            payload = _block(rng)
        case 2:
            payload = number + b"\x10"
        case 3 | 8:
            payload = number
        case 4:
            payload = b"".join(
                rng.randrange(8).to_bytes(2, "big") + rng.choice(NUMBERS).to_bytes(4, "big") for _ in "ab"
            )
        case 5 | 7:
            payload = number + rng.choice(NUMBERS).to_bytes(4, "big")
        case 6:
            payload = rng.randbytes(8)
        case _:
            payload = rng.randbytes(rng.choice((0, 1, 5, 40, 2000)))
    if rng.random() < 0.1:
        payload = payload[: rng.randrange(len(payload) + 1)]
    return frame(kind, flags, stream, payload)


def _damage(rng: random.Random, sent: bytearray) -> None:
    """Bytes changed, cut, doubled or put in."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(sent) + 1)
        match rng.randrange(5):
            case 0 if sent:
                sent[min(at, len(sent) - 1)] = rng.randrange(256)
            case 1:
                del sent[at : at + rng.randint(1, 20)]
            case 2:
                sent[at:at] = rng.randbytes(rng.randint(1, 12))
            case 3:
                sent[at:at] = sent[at : at + 40]
            case _:
                del sent[at:]
