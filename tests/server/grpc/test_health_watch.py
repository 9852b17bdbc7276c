"""Whoever watches the server's health is told of each change."""

from pathlib import Path

import grpc
import pytest

import onnx_models
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import ServerError
from tcli_server.serving import ServeOptions, Server

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def test_changes_reach_all_who_watch(tmp_path: Path, loopback: ServeOptions):
    write_model(tmp_path, "m", onnx_models.identity())
    options = EngineOptions(model_control_mode="explicit", load_models=("m",))
    with (
        Server(Engine(tmp_path, options=options), loopback) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        watching = [watch(b"", timeout=60) for _ in range(20)]
        assert [next(one) for one in watching] == [SERVING] * 20
        for one in watching[10:]:
            one.cancel()
        (tmp_path / "broken" / "1").mkdir(parents=True)
        (tmp_path / "broken" / "1" / "model.onnx").write_bytes(b"no model")
        with pytest.raises(ServerError):
            server.engine.load("broken")
        assert [next(one) for one in watching[:10]] == [NOT_SERVING] * 10
        assert next(watch(b"", timeout=60)) == NOT_SERVING
        server.engine.unload("broken")
        assert [next(one) for one in watching[:10]] == [SERVING] * 10
