"""The RPC of the logging extension."""

from typing import Any

from tritonclient.grpc import service_pb2 as pb

from tcli_server.engine import Engine
from tcli_server.observability.log import log_options
from tcli_server.protocols.after import after
from tcli_server.protocols.log_settings import changed, settings_of


def log_settings(engine: Engine, request: pb.LogSettingsRequest) -> Any:
    """Change what a request says; the future is all settings then.

    Raises:
        InvalidArgumentError, UnsupportedError: as `changed`.
    """
    settings = {name: _value(value) for name, value in request.settings.items()}
    return after(engine.change_log(changed(log_options(), settings)), lambda _: _message())


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
