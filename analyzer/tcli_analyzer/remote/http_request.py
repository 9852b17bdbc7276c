"""A whole inference request over HTTP, made once and sent often."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np

from tcli_analyzer.remote.wire import Parameter, Wire, with_marks
from tcli_analyzer.target import SequenceMark
from tcli_client import Address
from tcli_client.tensors import datatype_of, to_raw
from tcli_server.errors import InvalidArgumentError


class HttpRequests:
    """Makes the requests for one model.

    Args:
        binary: tensors as binary data behind the JSON header; else as JSON, for servers that lack that extension.
    """

    def __init__(self, address: Address, model: str, version: str, binary: bool, wire: Wire) -> None:
        path = f"{address.path}/v2/models/{quote(model, safe='')}"
        if version:
            path += f"/versions/{quote(version, safe='')}"
        lines = [f"POST {path}/infer HTTP/1.1", f"Host: {address.host_and_port}"]
        lines += [f"{name}: {value}" for name, value in wire.all_headers().items()]
        self._start = "\r\n".join(lines) + "\r\n"
        self._binary = binary and not wire.json_inputs
        self._parameters: dict[str, Parameter] = dict(wire.parameters)
        if binary and not wire.json_outputs:
            self._parameters["binary_data_output"] = True

    def make(self, inputs: Mapping[str, np.ndarray], sequence: SequenceMark | None = None) -> bytes:
        """Head and body.

        Raises:
            InvalidArgumentError: bytes that JSON cannot carry.
        """
        blobs: list[bytes] = []
        entries = []
        for name, array in inputs.items():
            entry: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": array.shape}
            if self._binary:
                blobs.append(to_raw(array))
                entry["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                entry["data"] = _as_json(name, array)
            entries.append(entry)
        document: dict[str, Any] = {"inputs": entries}
        if parameters := with_marks(self._parameters, sequence):
            document["parameters"] = parameters
        head = json.dumps(document).encode()
        body = b"".join([head, *blobs])
        lines = [f"Content-Length: {len(body)}"]
        if self._binary:
            lines += ["Content-Type: application/octet-stream", f"Inference-Header-Content-Length: {len(head)}"]
        else:
            lines.append("Content-Type: application/json")
        return (self._start + "\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def _as_json(name: str, array: np.ndarray) -> list[Any]:
    values = array.ravel().tolist()
    try:
        return [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        raise InvalidArgumentError(
            f"input '{name}' holds bytes that are no text, and this server takes tensors only as JSON; ask it over gRPC"
        ) from None
