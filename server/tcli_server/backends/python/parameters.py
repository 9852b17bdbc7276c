"""What a configuration and the command line may tell this backend."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.complaint import Complaint
from tcli_server.backends.python.kind import MEMORY_LIMIT, PYTHON
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.memory import usable_memory

ENVIRONMENT = "EXECUTION_ENV_PATH"
TIME_LIMIT = "EXECUTION_TIMEOUT_SECS"
_FORCE_CPU = "FORCE_CPU_ONLY_INPUT_TENSORS"

_MEMORY_SHARE = 4
_LEAST_MEMORY = 1 << 20
_TEXTS = ("shm-region-prefix-name",)
"""Settings that are no numbers."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a configuration says.

    Attributes:
        environment: `EXECUTION_ENV_PATH`, empty for the server's own Python.
        time_limit_secs: how long `execute` may take; None for as long as it likes.
    """

    environment: str
    time_limit_secs: float | None


def read_parameters(config: ModelConfig) -> Parameters:
    """The parameters of a configuration without complaints."""
    limit = _value(config, TIME_LIMIT)
    return Parameters(_value(config, ENVIRONMENT), float(limit) if limit else None)


def complaints(config: ModelConfig) -> Iterator[Complaint]:
    """Values that mean nothing; keys that are not known belong to the model."""
    limit = _value(config, TIME_LIMIT)
    if limit and not _is_positive(limit):
        yield Complaint(
            f'parameters["{TIME_LIMIT}"]',
            f"'{limit}'",
            "seconds, a number above 0",
            "write for example 10, or leave it out",
        )
    force = _value(config, _FORCE_CPU)
    if force not in ("", "yes", "no"):
        yield Complaint(
            f'parameters["{_FORCE_CPU}"]',
            f"'{force}' (Incorrect value for {_FORCE_CPU})",
            "'yes' or 'no'",
            "leave it out: inputs are in the CPU's memory",
        )
    for field in ("batch_input", "batch_output"):
        if getattr(config, field):
            yield Complaint(field, "a setting", "nothing: a Python model gets each request by itself", "remove it")


def memory_limit(settings: Mapping[str, str]) -> int:
    """Bytes that each of an instance's two shared memories may have.

    Raises:
        InvalidArgumentError: a setting is no number.
    """
    for name, value in settings.items():
        if name not in PYTHON.settings or name in _TEXTS:
            continue
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            raise InvalidArgumentError(f"--backend-config=python,{name}={value}: expected a whole number above 0")
    limit = int(settings.get(MEMORY_LIMIT, 0)) or usable_memory() // _MEMORY_SHARE
    return max(limit, _LEAST_MEMORY)


def _value(config: ModelConfig, key: str) -> str:
    return str(config.parameters[key].string_value) if key in config.parameters else ""


def _is_positive(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and value > 0
