"""Ensembles with decoupled steps, asked by NVIDIA's client over a gRPC stream."""

import queue
from pathlib import Path

import numpy as np
from tritonclient import grpc as triton

from decoupled_steps import write_decoupled, write_steps
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server


def test_answers_come_in_order_with_a_final_flag_each(tmp_path: Path, loopback: ServeOptions):
    write_steps(tmp_path)
    write_decoupled(tmp_path, "sequential", "nested")
    server = Server(Engine(tmp_path), loopback)
    server.start()
    heard: queue.SimpleQueue = queue.SimpleQueue()
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            client.start_stream(lambda result, error: heard.put(error or result.get_response()))
            given = {"a": [3, 0, 2], "b": [], "c": [1]}
            for name, values in given.items():
                tensor = triton.InferInput("IN", [len(values)], "INT32")
                tensor.set_data_from_numpy(np.array(values, np.int32))
                client.async_stream_infer("nested", [tensor], request_id=name, enable_empty_final_response=True)
            found: dict[str, list[int]] = {name: [] for name in given}
            over: set[str] = set()
            while len(over) < 3:
                response = heard.get(timeout=60)
                assert response.id not in over
                if response.raw_output_contents:
                    found[response.id].append(int(np.frombuffer(response.raw_output_contents[0], np.int32)[0]))
                if response.parameters["triton_final_response"].bool_param:
                    over.add(response.id)
            client.stop_stream()
    finally:
        server.shutdown()
    assert found == {"a": [3, 3, 3, 2, 2], "b": [], "c": [1]}
