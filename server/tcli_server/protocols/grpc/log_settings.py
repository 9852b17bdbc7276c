"""The RPC of the logging extension."""

from concurrent.futures import Future
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from tcli_server.engine import Engine
from tcli_server.observability.log import log_options
from tcli_server.protocols.log_settings import changed, settings_of


def log_settings(engine: Engine, request: pb.LogSettingsRequest) -> Any:
    """Change what a request says; the future is all settings then.

    Raises:
        InvalidArgumentError, UnsupportedError: as `changed`.
    """
    settings = {name: _value(value) for name, value in request.settings.items()}
    done: Future[Any] = Future()

    def tell(_: "Future[None]") -> None:
        if done.set_running_or_notify_cancel():  # else the client is gone
            done.set_result(_message())

    engine.change_log(changed(log_options(), settings)).add_done_callback(tell)
    return done


def _value(value: Any) -> object:
    kind = value.WhichOneof("parameter_choice")
    return getattr(value, kind) if kind else None


def _message() -> Any:
    answer = pb.LogSettingsResponse()
    for name, value in settings_of(log_options()).items():
        setting = answer.settings[name]
        if isinstance(value, bool):
            setting.bool_param = value
        elif isinstance(value, int):
            setting.uint32_param = value
        else:
            setting.string_param = value
    return answer
