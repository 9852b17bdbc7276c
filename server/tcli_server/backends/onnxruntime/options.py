"""From a model's configuration to ONNX Runtime's options, and what of it ONNX Runtime cannot do."""

import re
from collections.abc import Iterator

import onnxruntime as ort
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Placement
from tcli_server.backends.complaint import Complaint

# `optimization.graph.level` as Triton's ONNX Runtime backend maps it; every other value means all optimizations.
_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}

_COUNT, _SWITCH = "a whole number, 0 for the default", "0 or 1"
_LEVEL, _OFF = "a whole number from 0 to 4", "0, as every session here may fall back to the CPU"
_NOT_FOR_ALL = "0, as ONNX Runtime would switch it in threads of the server, too, and so for other models"
_NUMBERS = {
    "intra_op_thread_count": _COUNT,
    "inter_op_thread_count": _COUNT,
    "execution_mode": _SWITCH,
    "enable_mem_arena": _SWITCH,
    "enable_mem_pattern": _SWITCH,
    "session.dynamic_block_base": _COUNT,
    "session.qdq_matmulnbits_accuracy_level": _LEVEL,
    "session.disable_cpu_ep_fallback": _OFF,
    "session.set_denormal_as_zero": _NOT_FOR_ALL,
}
_MOST_THREADS = 1 << 16

_SPIN_DURATION, _SPIN_US = "session.intra_op.spin_duration_us", "50"
"""How long a thread without work waits spinning before it sleeps: from one operator to the next, as sleeping and waking would
cost one busy model time, but not as long as by ONNX Runtime's default, by which two busy models take each other's cores. An ONNX
Runtime before 1.26 does not know the key and passes it over."""

_SHRINKAGE = "memory.enable_memory_arena_shrinkage"
_DEVICES = re.compile(r"((cpu:0|gpu:\d{1,4})(;(?!$)|$))*", re.ASCII)

# ONNX Runtime takes any key and reads some of them as paths of files to load or write, which would let whoever may send
# a configuration read this machine's files. So only what changes nothing but speed and numbers is let through.
_SESSION_KEYS = frozenset(
    f"session.{name}"
    for name in (
        "disable_prepacking",
        "use_env_allocators",
        "use_device_allocator_for_initializers",
        "set_denormal_as_zero",
        "disable_quant_qdq",
        "disable_double_qdq_remover",
        "enable_quant_qdq_cleanup",
        "qdqisint8allowed",
        "x64quantprecision",
        "qdq_matmulnbits_accuracy_level",
        "enable_gelu_approximation",
        "disable_aot_function_inlining",
        "dynamic_block_base",
        "force_spinning_stop",
        "intra_op.allow_spinning",
        "inter_op.allow_spinning",
        "inter_op.spin_backoff_max",
        "inter_op.spin_duration_us",
        "intra_op.spin_backoff_max",
        "intra_op.spin_duration_us",
        "strict_shape_type_inference",
        "allow_released_opsets_only",
        "disable_cpu_ep_fallback",
        "use_ort_model_bytes_directly",
        "use_memory_mapped_ort_model",
    )
)


def complaints(config: ModelConfig) -> Iterator[Complaint]:
    """What a configuration asks of ONNX Runtime that it does not know, or that is not for a configuration to ask."""
    for key, parameter in config.parameters.items():
        value = parameter.string_value
        field = f'parameters["{key}"]'
        if not _fits(key, value):
            right = "0" if _NUMBERS[key] in (_OFF, _NOT_FOR_ALL) else "1"
            yield Complaint(
                field, f"'{value}'", _NUMBERS[key], f'write value {{ string_value: "{right}" }}, or remove it'
            )
        elif key == _SHRINKAGE and not _DEVICES.fullmatch(value):
            expected = "devices whose memory is given back after each run, like cpu:0;gpu:0"
            yield Complaint(field, f"'{value}'", expected, 'write value { string_value: "cpu:0" }, or remove it')
        elif key.startswith("session.") and key not in _SESSION_KEYS:
            yield Complaint(
                field,
                f"'{key}'",
                f"one of {', '.join(sorted(_SESSION_KEYS))}: other settings of ONNX Runtime's sessions could reach files "
                "outside of the model's folder",
                "remove it",
            )


def _fits(key: str, value: str) -> bool:
    expected = _NUMBERS.get(key)
    if expected is None:
        return True
    if expected is not _COUNT:
        return (
            value
            in {_SWITCH: ("0", "1"), _LEVEL: ("0", "1", "2", "3", "4"), _OFF: ("0",), _NOT_FOR_ALL: ("0",)}[expected]
        )
    return value.isascii() and value.isdigit() and len(value) < 7 and int(value) <= _MOST_THREADS


def session_keys(config: ModelConfig) -> list[str]:
    """The parameters that ONNX Runtime reads itself when it makes a session, and may refuse; without wrong ones."""
    parameters = config.parameters
    return sorted(key for key in parameters if key in _SESSION_KEYS and _fits(key, parameters[key].string_value))


def thread_counts(config: ModelConfig, placement: Placement) -> tuple[int, int]:
    """Threads inside and between operators.

    0 is ONNX Runtime's own default, a pool as wide as the machine, which is what multiplies threads by instances.
    """
    return (
        _number(config, "intra_op_thread_count") or placement.threads,
        _number(config, "inter_op_thread_count") or 1,
    )


def session_options(config: ModelConfig, placement: Placement) -> ort.SessionOptions:
    """The options of one instance's session."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads, options.inter_op_num_threads = thread_counts(config, placement)
    if _number(config, "execution_mode"):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = bool(_number(config, "enable_mem_arena", 1))
    options.enable_mem_pattern = bool(_number(config, "enable_mem_pattern", 1))
    written = {key: config.parameters[key].string_value for key in session_keys(config)}
    for key, value in {_SPIN_DURATION: _SPIN_US, **written}.items():  # ONNX Runtime's own names for what has no field
        options.add_session_config_entry(key, value)
    level = config.optimization.graph.level
    options.graph_optimization_level = _GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    return options


def run_options(config: ModelConfig, placement: Placement) -> ort.RunOptions | None:
    """The options of each run, None where the configuration has none that concern this instance.

    ONNX Runtime would fail each run that names a device which the session has no arena of.
    """
    if _SHRINKAGE not in config.parameters:
        return None
    has = {f"gpu:{placement.gpu}", "cpu:0" if _number(config, "enable_mem_arena", 1) else ""}
    devices = [device for device in config.parameters[_SHRINKAGE].string_value.split(";") if device and device in has]
    if not devices:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(_SHRINKAGE, ";".join(devices))
    return options


def _number(config: ModelConfig, key: str, default: int = 0) -> int:
    return int(config.parameters[key].string_value) if key in config.parameters else default
