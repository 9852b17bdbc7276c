"""HTTP requests to attack a server with: valid ones in many forms, and the same with something changed. Pure and seeded.

for case in cases(seed=1, count=1000):
    send(case.data)  # on a connection of its own, then half-close
    # case.answers: how many responses come if the bytes are right; None where nobody can tell
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

_METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
_HEADERS = (
    "Accept: */*", "Accept-Encoding: gzip;q=0.5, deflate", "User-Agent: fuzz", "Content-Type: application/json",
    "X-Empty:", "X-Spaces:   a b   ", "Cookie: a=b; c=d", "TE: trailers", "Connection: keep-alive",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Expect: 100-continue",
    "Inference-Header-Content-Length: 10", "Accept: a\r\nAccept: b",
)  # fmt: skip
_TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"/", b"?", b"%00", b"\xff", b"HTTP/1.1", b"HTTP/2.0",
    b"Host: y\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b" folded\r\n",
    b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What one connection sends.

    Attributes:
        answers: the number of final responses that are due, None where the bytes were changed.
        heads: for each of them, whether its request was a HEAD, whose answer has no body.
        cuts: where to cut the bytes into pieces.
    """

    data: bytes
    answers: int | None
    heads: tuple[bool, ...]
    cuts: tuple[int, ...]


def cases(seed: int, count: int, paths: tuple[str, ...] = ("/",), bodies: tuple[bytes, ...] = (b"",)) -> Iterator[Case]:
    """Half of them valid, half changed; the same for the same arguments.

    Args:
        paths: what requests ask for.
        bodies: what they send, besides random bytes.
    """
    rng = random.Random(seed)
    for _ in range(count):
        requests = [_valid_request(rng, paths, bodies) for _ in range(rng.choice((1, 1, 1, 2, 3, 12)))]
        heads = tuple(request.startswith(b"HEAD") for request in requests)
        data = b"".join(requests)
        answers: int | None = len(requests)
        if rng.random() < 0.5:
            data, answers = _changed(rng, data), None
        cuts = tuple(sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 2, 5)))))
        yield Case(data, answers, heads, cuts)


def _valid_request(rng: random.Random, paths: tuple[str, ...], bodies: tuple[bytes, ...]) -> bytes:
    method, path = rng.choice(_METHODS), rng.choice(paths)
    if rng.random() < 0.1:
        path = f"http://example.org:8000{path}"
    if rng.random() < 0.1:
        path += "?" + "q" * rng.randrange(100)
    lines = [rng.choice(("Host: x", "host: localhost:8000", "HOST:   [::1]:1"))]
    lines += rng.sample(_HEADERS, rng.randrange(4))
    body = rng.choice((*bodies, rng.randbytes(rng.choice((0, 1, 10, 1000, 20_000)))))
    framing = rng.random()
    if framing < 0.4:
        lines.append(f"Content-Length: {len(body)}")
    elif framing < 0.7:
        lines.append("Transfer-Encoding: chunked")
        body = _chunked(rng, body)
    else:
        body = b""
    rng.shuffle(lines)
    return f"{method} {path} HTTP/1.1\r\n{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode() + body


def _chunked(rng: random.Random, body: bytes) -> bytes:
    pieces, start = [], 0
    while start < len(body):
        part = body[start : start + rng.choice((1, 7, 500, 30_000))]
        start += len(part)
        pieces.append(b"%x%s\r\n%s\r\n" % (len(part), rng.choice((b"", b"", b";a=b")), part))
        if len(pieces) > 200:
            rest, start = body[start:], len(body)
            pieces.append(b"%X\r\n%s\r\n" % (len(rest), rest) if rest else b"")
    return b"".join(pieces) + b"0\r\n" + rng.choice((b"", b"", b"X-Trailer: a\r\nConnection: close\r\n")) + b"\r\n"


def _changed(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(data)) if data else 0
        end = place + rng.choice((1, 1, 3, 20))
        change = rng.randrange(6)
        if change == 0:  # lost bytes
            data = data[:place] + data[end:]
        elif change == 1:  # other bytes
            data = data[:place] + rng.randbytes(end - place) + data[end:]
        elif change == 2:  # something that means something
            data = data[:place] + rng.choice(_TOKENS) + data[place:]
        elif change == 3:  # twice the same
            data = data[:end] + data[place:]
        elif change == 4:  # a line twice, or somewhere else
            lines = data.split(b"\r\n")
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            data = b"\r\n".join(lines)
        else:  # the end is missing
            data = data[:place]
    return data
