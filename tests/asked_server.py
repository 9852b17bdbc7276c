"""A server of a repository, asked by tritonclient as any client asks."""

from pathlib import Path
from types import ModuleType

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import np_to_triton_dtype

from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
PROTOCOLS = ("http", "grpc")
_LIBRARIES: dict[str, ModuleType] = {"http": tritonclient.http, "grpc": tritonclient.grpc}


class AskedServer:
    """Serves while it is entered."""

    def __init__(self, repository: Path) -> None:
        self.engine = Engine(repository)
        self._server = Server(self.engine, LOOPBACK)

    def __enter__(self) -> "AskedServer":
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(*error)

    def ask(
        self, protocol: str, model: str, inputs: dict[str, np.ndarray], outputs: tuple[str, ...] = ()
    ) -> dict[str, np.ndarray]:
        """What a model answers.

        Args:
            outputs: those to ask for; none for all.

        Raises:
            tritonclient.utils.InferenceServerException: the server's error.
        """
        library = _LIBRARIES[protocol]
        port = self._server.http_port if protocol == "http" else self._server.grpc_port
        sent = []
        for name, array in inputs.items():
            sent.append(library.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
            sent[-1].set_data_from_numpy(array)
        wanted = [library.InferRequestedOutput(name) for name in outputs] or None
        with library.InferenceServerClient(f"127.0.0.1:{port}") as client:
            answer = client.infer(model, sent, outputs=wanted)
            response = answer.get_response()
            there = response["outputs"] if protocol == "http" else response.outputs
            names = [each["name"] if protocol == "http" else each.name for each in there]
            return {name: answer.as_numpy(name) for name in names}
