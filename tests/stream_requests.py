"""What a client sends on a gRPC stream, a request at a time."""

import queue
from collections.abc import Iterator

from tritonclient.grpc import service_pb2 as pb


class Requests:
    """What a client sends, for as long as it likes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[pb.ModelInferRequest | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[pb.ModelInferRequest]:
        return iter(self._queue.get, None)

    def send(self, *requests: pb.ModelInferRequest) -> None:
        for request in requests:
            self._queue.put(request)

    def end(self) -> None:
        self._queue.put(None)
