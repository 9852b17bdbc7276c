"""The least that a Python server can do for one inference, to measure the front ends against.

One hard-wired model, two FP32 inputs of [N, 16] and their sum and difference, run inline on the event loop: over HTTP on a
bare asyncio protocol with httptools, over gRPC on grpc.aio. No queue, no batching, no validation, no statistics.

    python benchmarks/floor.py        # prints the HTTP and the gRPC port
"""

import asyncio
import json
from typing import Any

import grpc
import httptools
import numpy as np
import onnxruntime as ort
import orjson
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2, service_pb2

NAMES = ("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1")


def add_sub() -> bytes:
    """The model, as bytes of an ONNX file."""
    inputs, outputs = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 16]) for n in names] for names in NAMES
    )
    nodes = [helper.make_node("Add", NAMES[0], ["OUTPUT0"]), helper.make_node("Sub", NAMES[0], ["OUTPUT1"])]
    graph = helper.make_graph(nodes, "add_sub", inputs, outputs)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString()


def session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(add_sub(), options, providers=["CPUExecutionProvider"])


SESSION = session()


class Http(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.length, self.body = 0, b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"inference-header-content-length":
            self.length = int(value)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, feed, offset = self.body, {}, self.length
        self.body = b""
        for tensor in orjson.loads(body[: self.length])["inputs"]:
            size = tensor["parameters"]["binary_data_size"]
            feed[tensor["name"]] = np.frombuffer(body, np.float32, size // 4, offset).reshape(tensor["shape"])
            offset += size
        arrays = SESSION.run(NAMES[1], feed)
        outputs = [
            {"name": n, "datatype": "FP32", "shape": a.shape, "parameters": {"binary_data_size": a.nbytes}}
            for n, a in zip(NAMES[1], arrays, strict=True)
        ]
        head = orjson.dumps({"model_name": "add_sub", "model_version": "1", "outputs": outputs})
        answer = b"".join([head, *(array.tobytes() for array in arrays)])
        self.transport.write(  # type: ignore[attr-defined]
            b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s"
            % (len(head), len(answer), answer)
        )


async def model_infer(request: service_pb2.ModelInferRequest, context: grpc.aio.ServicerContext) -> object:  # noqa: ARG001
    feed = {
        tensor.name: np.frombuffer(raw, np.float32).reshape(tensor.shape)
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }
    answer = service_pb2.ModelInferResponse(model_name="add_sub", model_version="1", id=request.id)
    for name, array in zip(NAMES[1], SESSION.run(NAMES[1], feed), strict=True):
        answer.outputs.add(name=name, datatype="FP32", shape=array.shape)
        answer.raw_output_contents.append(array.tobytes())
    return answer


def described() -> dict[str, object]:
    """What NVIDIA's load generator asks before it begins, by RPC."""
    config = model_config_pb2.ModelConfig(name="add_sub", platform="onnxruntime_onnx", max_batch_size=64)
    metadata = service_pb2.ModelMetadataResponse(name="add_sub", versions=["1"], platform="onnxruntime_onnx")
    for tensors, configured, names in (
        (metadata.inputs, config.input, NAMES[0]),
        (metadata.outputs, config.output, NAMES[1]),
    ):
        for name in names:
            tensors.add(name=name, datatype="FP32", shape=[-1, 16])
            configured.add(name=name, data_type=model_config_pb2.TYPE_FP32, dims=[16])
    return {
        "ServerLive": service_pb2.ServerLiveResponse(live=True),
        "ServerReady": service_pb2.ServerReadyResponse(ready=True),
        "ModelReady": service_pb2.ModelReadyResponse(ready=True),
        "ServerMetadata": service_pb2.ServerMetadataResponse(name="floor", version="1"),
        "ModelStatistics": service_pb2.ModelStatisticsResponse(),
        "ModelMetadata": metadata,
        "ModelConfig": service_pb2.ModelConfigResponse(config=config),
    }


def answering(message: Any) -> grpc.RpcMethodHandler:
    """An RPC that always answers the same."""
    data = message.SerializeToString()

    async def answer(_: bytes, context: grpc.aio.ServicerContext) -> bytes:  # noqa: ARG001
        return data

    return grpc.unary_unary_rpc_method_handler(answer)


async def main() -> None:
    http = await asyncio.get_running_loop().create_server(Http, "127.0.0.1", 0)
    handler = grpc.unary_unary_rpc_method_handler(
        model_infer, service_pb2.ModelInferRequest.FromString, service_pb2.ModelInferResponse.SerializeToString
    )
    rpcs = {name: answering(message) for name, message in described().items()}
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler, **rpcs})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"http": http.sockets[0].getsockname()[1], "grpc": grpc_port}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
