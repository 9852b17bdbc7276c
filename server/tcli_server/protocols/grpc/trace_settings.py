"""The RPC of the trace extension."""

from concurrent.futures import Future
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from tcli_server.engine import Engine
from tcli_server.protocols.after import after
from tcli_server.protocols.trace_settings import begin_check_model, changes_of, settings_of


def trace_settings(engine: Engine, request: pb.TraceSettingRequest) -> "Future[Any]":
    """Change what a request says; the future is all settings then, or an error, as of `begin_check_model`, `changes_of` and `Tracer.change`."""
    model = request.model_name

    def change(_: None) -> "Future[Any]":
        changes = changes_of({name: list(setting.value) for name, setting in request.settings.items()})
        return after(engine.change_trace(model, changes), lambda _: _message(engine, model))

    return after(begin_check_model(engine, model), change)


def _message(engine: Engine, model: str) -> Any:
    answer = pb.TraceSettingResponse()
    for name, value in settings_of(engine, model).items():
        answer.settings[name].value.extend(value)
    return answer
