"""A web server on loopback that serves files well or badly, and remembers what it was asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Answer:
    """How to answer a path.

    `break_after`: close the connection after so many bytes of each answer; `ranges`: whether to honour Range; `etag`: the
    name of this state, by which If-Range and If-None-Match are answered; `length`: what Content-Length says;
    `sized`: whether it says anything.
    """

    body: bytes = b""
    status: int = 200
    ranges: bool = True
    break_after: int | None = None
    location: str | None = None
    etag: str | None = None
    length: int | None = None
    retry_after: str | None = None
    sized: bool = True


@dataclass
class FileServer:
    url: str
    answers: dict[str, Answer]
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range header of every request."""
    statuses: list[int] = field(default_factory=list)


@contextmanager
def serve_files(answers: dict[str, Answer]) -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = served.answers.get(self.path, Answer(b"not here", 404))
            wanted = self.headers.get("Range", "")
            served.asked.append((self.path, wanted))
            same = self.headers.get("If-Range", answer.etag) == answer.etag
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and answer.ranges and same else 0
            known = answer.etag is not None and self.headers.get("If-None-Match") == answer.etag
            status = 304 if known else 206 if start else answer.status
            served.statuses.append(status)
            self.send_response(status)
            if answer.etag is not None:
                self.send_header("ETag", answer.etag)
            if known:
                self.end_headers()
                return
            if answer.retry_after:
                self.send_header("Retry-After", answer.retry_after)
            if answer.location:
                self.send_header("Location", answer.location)
            if answer.sized:
                length = len(answer.body) - start if answer.length is None else answer.length
                self.send_header("Content-Length", str(length))
            self.end_headers()
            end = len(answer.body) if answer.break_after is None else start + answer.break_after
            self.wfile.write(answer.body[start:end])
            if end < len(answer.body):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = FileServer(f"http://127.0.0.1:{server.server_port}", answers)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
