"""A closed-loop load generator: keeps a number of identical requests in flight and counts the answers.

Run as a program of its own, so that it does not share an interpreter with what it measures:

    python benchmarks/load.py http 127.0.0.1:8000 add_sub --inputs INPUT0:1,16 INPUT1:1,16 --concurrency 16

It prints one JSON object: requests per second and latency percentiles in milliseconds. It does as little as it can per
request (prepared bytes, no client library), because it shares the processor with the server.
"""

import argparse
import asyncio
import json
import time

import numpy as np


def http_request(host: str, model: str, inputs: dict[str, np.ndarray]) -> bytes:
    """A complete binary inference request."""
    tensors = [
        {"name": name, "datatype": "FP32", "shape": a.shape, "parameters": {"binary_data_size": a.nbytes}}
        for name, a in inputs.items()
    ]
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    body = head + b"".join(array.tobytes() for array in inputs.values())
    lines = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {len(head)}\r\n\r\n"
    )
    return lines.encode() + body


class HttpCaller(asyncio.BufferedProtocol):
    """One connection that sends the next request when the last is answered; bodies are counted and dropped."""

    _arriving = memoryview(bytearray(1 << 18))  # of all connections: nothing stays in it

    def __init__(self, request: bytes, record: "Record") -> None:
        self._request, self._record = request, record
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._arriving

    def buffer_updated(self, count: int) -> None:
        if self._missing:
            self._missing -= count
        elif not self._read_head(self._head + self._arriving[:count]):
            return
        if not self._missing:
            self._record.add(time.perf_counter() - self._sent)
            self._send()

    def _read_head(self, received: bytes) -> bool:
        """Whether it is whole."""
        end = received.find(b"\r\n\r\n")
        if end < 0:
            self._head = received
            return False
        lines = received[:end].lower().split(b"\r\n")
        if not lines[0].startswith(b"http/1.1 200"):
            raise SystemExit(f"refused: {received!r}")
        length = next(int(line[16:]) for line in lines if line.startswith(b"content-length: "))
        self._head = b""
        self._missing = end + 4 + length - len(received)
        return True


class Record:
    """Latencies of the requests that ended after the warm-up, and how many ended in all."""

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self.seconds: list[float] = []
        self.requests = 0

    def add(self, seconds: float) -> None:
        self.requests += 1
        if time.perf_counter() >= self._begin:
            self.seconds.append(seconds)


async def http_load(url: str, request: bytes, concurrency: int, record: Record, seconds: float) -> None:
    host, _, port = url.rpartition(":")
    loop = asyncio.get_running_loop()
    for _ in range(concurrency):
        await loop.create_connection(lambda: HttpCaller(request, record), host, int(port))
    await asyncio.sleep(seconds)


async def grpc_load(url: str, request: bytes, concurrency: int, record: Record, seconds: float) -> None:
    import grpc

    end = time.perf_counter() + seconds
    async with grpc.aio.insecure_channel(url, options=[("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        async def caller() -> None:
            while (start := time.perf_counter()) < end:
                await call(request)
                record.add(time.perf_counter() - start)

        await asyncio.gather(*(caller() for _ in range(concurrency)))


def grpc_request(model: str, inputs: dict[str, np.ndarray]) -> bytes:
    from tritonclient.grpc import service_pb2

    message = service_pb2.ModelInferRequest(model_name=model)
    for name, array in inputs.items():
        message.inputs.add(name=name, datatype="FP32", shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    return message.SerializeToString()


def measure(
    protocol: str, url: str, model: str, inputs: dict[str, np.ndarray], concurrency: int, seconds: float
) -> dict:
    """Load a server for `seconds` after a warm-up of a quarter of that."""
    warm_up = seconds / 4
    record = Record(time.perf_counter() + warm_up)
    if protocol == "http":
        work = http_load(url, http_request(url, model, inputs), concurrency, record, warm_up + seconds)
    else:
        work = grpc_load(url, grpc_request(model, inputs), concurrency, record, warm_up + seconds)
    try:
        import uvloop

        uvloop.run(work)
    except ImportError:
        asyncio.run(work)
    if not record.seconds:
        raise SystemExit(f"no answer came between the warm-up and the end after {seconds} s; fix: give more --seconds")
    latencies = np.array(record.seconds) * 1e3
    return {
        "requests": record.requests,
        "requests_per_second": len(latencies) / seconds,
        "p50_ms": float(np.percentile(latencies, 50)),
        "p99_ms": float(np.percentile(latencies, 99)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=["http", "grpc"])
    parser.add_argument("url", help="host:port")
    parser.add_argument("model")
    parser.add_argument(
        "--inputs", nargs="+", required=True, metavar="NAME:SHAPE", help="FP32 inputs, for example x:1,16"
    )
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    inputs = {}
    for item in args.inputs:
        name, _, shape = item.rpartition(":")
        inputs[name] = rng.random([int(dim) for dim in shape.split(",")], np.float32)
    print(json.dumps(measure(args.protocol, args.url, args.model, inputs, args.concurrency, args.seconds)))


if __name__ == "__main__":
    main()
