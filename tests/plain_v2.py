"""A server with nothing but what the V2 protocol asks of everybody: no configuration, no statistics, no repository."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_ABOUT = {"name": "plain", "version": "1", "extensions": []}
_MODEL = {
    "name": "doubles",
    "versions": ["1"],
    "platform": "none",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(
            {
                "/v2": _ABOUT,
                "/v2/health/live": {"live": True},
                "/v2/health/ready": {"ready": True},
                "/v2/models/doubles": _MODEL,
                "/v2/models/doubles/ready": {"name": "doubles", "ready": True},
            }.get(self.path)
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v2/models/doubles/infer":
            self._answer(None)
            return
        given = json.loads(body)["inputs"][0]
        if given["shape"][-1] != 3:
            self._answer({"error": f"x: expected 3 values an item, found {given['shape'][-1]}"}, 400)
            return
        output = {"name": "y", "datatype": "FP32", "shape": given["shape"], "data": [2 * one for one in given["data"]]}
        self._answer({"model_name": "doubles", "outputs": [output]})

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def _answer(self, document: object, status: int = 200) -> None:
        body = json.dumps(document if document is not None else {"error": "there is no such thing here"}).encode()
        self.send_response(status if document is not None else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def plain_v2() -> Iterator[str]:
    """Its address; it has one model, `doubles`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
