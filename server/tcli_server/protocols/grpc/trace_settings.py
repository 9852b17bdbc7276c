"""The RPC of the trace extension."""

from concurrent.futures import Future
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from tcli_server.engine import Engine
from tcli_server.protocols.trace_settings import changes_of, check_model, settings_of


def trace_settings(engine: Engine, request: pb.TraceSettingRequest) -> Any:
    """Change what a request says; the future is all settings then.

    Raises:
        InvalidArgumentError, UnsupportedError: as `check_model`, `changes_of` and `Tracer.change`.
    """
    model = request.model_name
    check_model(engine, model)
    changes = changes_of({name: list(setting.value) for name, setting in request.settings.items()})
    done: Future[Any] = Future()

    def tell(changed: "Future[None]") -> None:
        if not done.set_running_or_notify_cancel():  # the client is gone
            return
        error = changed.exception()
        if error is None:
            done.set_result(_message(engine, model))
        else:
            done.set_exception(error)

    engine.change_trace(model, changes).add_done_callback(tell)
    return done


def _message(engine: Engine, model: str) -> Any:
    answer = pb.TraceSettingResponse()
    for name, value in settings_of(engine, model).items():
        answer.settings[name].value.extend(value)
    return answer
