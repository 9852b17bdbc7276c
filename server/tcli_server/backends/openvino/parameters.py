"""The parameters of an OpenVINO model: Triton's names and OpenVINO's own properties, and what becomes of them.

OpenVINO has properties that name files, or that make one model take the cores of all others. Those are not here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_server.backends import Placement
from tcli_server.backends.cache_folder import FOLDER
from tcli_server.backends.complaint import Complaint, Rule, choice, count, parameter_complaints

_ON, _OFF = ("yes", "true", "1"), ("no", "false", "0")
_SWITCH = Rule("YES or NO", "YES", lambda value: value.lower() in (*_ON, *_OFF))
_THREADS = count("a whole number of threads, at least 1", least=1)
_PRECISIONS = ("f32", "bf16", "f16")
_NO_LIBRARY = "no library of operators: tcli loads no native code that a configuration names"


def _streams(value: str) -> bool:
    return value in ("AUTO", "NUMA") or _STREAM_COUNT.fits(value)


def _share(value: str) -> bool:
    return re.fullmatch(r"(0|1|0?\.\d{1,6}|[01]\.0{1,6})", value, re.ASCII) is not None


_STREAM_COUNT = count("", most=1024, least=1)

_WORDS = {
    "PERFORMANCE_HINT": choice("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"),
    "EXECUTION_MODE_HINT": choice("PERFORMANCE", "ACCURACY"),
    "INFERENCE_PRECISION_HINT": choice(*_PRECISIONS),
    "KV_CACHE_PRECISION": choice("u8", *_PRECISIONS),
    "SCHEDULING_CORE_TYPE": choice("ANY_CORE", "PCORE_ONLY", "ECORE_ONLY"),
    "MODEL_DISTRIBUTION_POLICY": choice("TENSOR_PARALLEL", "PIPELINE_PARALLEL"),
    "CACHE_MODE": choice("OPTIMIZE_SPEED", "OPTIMIZE_SIZE"),
    "NUM_STREAMS": Rule("AUTO, NUMA or a whole number of at least 1", "AUTO", _streams),
    "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": Rule("a number from 0 to 1", "0.5", _share),
}
_NUMBERS = {
    "INFERENCE_NUM_THREADS": _THREADS,
    "PERFORMANCE_HINT_NUM_REQUESTS": count("a whole number of requests, 0 for no limit"),
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": count("a whole number of elements, 0 for none"),
}
_SWITCHES = dict.fromkeys(("ENABLE_CPU_PINNING", "ENABLE_HYPER_THREADING", "ENABLE_TENSOR_PARALLEL"), _SWITCH)
_OURS = {
    "CACHE_DIR": FOLDER,
    "HINT_BF16": _SWITCH,
    "ENABLE_MMAP": _SWITCH,
    "RESHAPE_IO_LAYERS": _SWITCH,
    "CPU_DENORMALS_OPTIMIZATION": Rule(
        "NO: OpenVINO would switch it in threads of the server, too, and so for other models",
        "NO",
        lambda value: value.lower() in _OFF,
    ),
    "CPU_EXTENSION_PATH": Rule(_NO_LIBRARY, "", lambda value: not value),
}
_IDLE = {"COMPILATION_NUM_THREADS": _THREADS, "SKIP_OV_DYNAMIC_BATCHSIZE": _SWITCH, "ENABLE_BATCH_PADDING": _SWITCH}
"""What Triton has and nothing here needs: batches of any size run as they are, and OpenVINO's CPU plugin compiles with the
threads that it runs with."""

_ONLY_CPU = frozenset((*_SWITCHES, "INFERENCE_NUM_THREADS", "SCHEDULING_CORE_TYPE", "MODEL_DISTRIBUTION_POLICY"))


def complaints(config: ModelConfig, devices: Sequence[str]) -> Iterator[Complaint]:
    """What a configuration asks of OpenVINO that it does not know or cannot do here.

    Args:
        devices: what OpenVINO finds on this machine.
    """
    target = Rule(
        f"a device that OpenVINO finds here: {', '.join((*devices, 'AUTO'))}",
        "CPU",
        lambda value: value.upper() in (*devices, "AUTO"),
    )
    yield from parameter_complaints(config, {**_RULES, "TARGET_DEVICE": target}, "openvino")
    parameters = config.parameters
    if is_on(config, "HINT_BF16") and _value(config, "INFERENCE_PRECISION_HINT") not in ("", "bf16"):
        yield Complaint(
            'parameters["HINT_BF16"]',
            f"'{parameters['HINT_BF16'].string_value}' beside INFERENCE_PRECISION_HINT "
            f"'{parameters['INFERENCE_PRECISION_HINT'].string_value}'",
            "one precision",
            "remove one of the two parameters",
        )
    for index, group in enumerate(config.instance_group):
        if group.kind in (ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_MODEL):
            yield Complaint(
                f"instance_group[{index}].kind",
                f"{ModelInstanceGroup.Kind.Name(group.kind)} with the backend 'openvino'",
                "KIND_CPU or KIND_AUTO, as OpenVINO itself chooses the device by the parameter TARGET_DEVICE",
                "write kind: KIND_CPU",
            )


_RULES = {**_WORDS, **_NUMBERS, **_SWITCHES, **_OURS, **_IDLE}


def is_on(config: ModelConfig, key: str) -> bool:
    """Whether a parameter is switched on."""
    return _value(config, key).lower() in _ON


def device(config: ModelConfig, devices: Sequence[str]) -> str:
    """What the model is compiled for: one of the devices that OpenVINO finds, or its own choice among them."""
    value = config.parameters["TARGET_DEVICE"].string_value.upper() if "TARGET_DEVICE" in config.parameters else ""
    return value if value in (*devices, "AUTO") else "CPU"


def thread_count(config: ModelConfig, placement: Placement) -> int:
    """Threads of one instance, whatever the number of its streams."""
    return int(_value(config, "INFERENCE_NUM_THREADS") or placement.threads)


def cache_folder(config: ModelConfig) -> str:
    """The name of the folder for compiled models; empty for none."""
    return _value(config, "CACHE_DIR")


def precision(config: ModelConfig) -> str:
    """The precision that is asked for; empty for OpenVINO's own choice."""
    return "bf16" if is_on(config, "HINT_BF16") else _value(config, "INFERENCE_PRECISION_HINT")


def properties(config: ModelConfig, placement: Placement, on: str) -> dict[str, Any]:
    """OpenVINO's properties of one instance on a device, `CACHE_DIR` not among them.

    Threads are not bound to cores unless the configuration wants that: each compiled model would take the same first ones.
    """
    chosen: dict[str, Any] = {}
    for rules, read in _READERS:
        chosen.update((key, read(_value(config, key))) for key in rules if _value(config, key))
    if precision(config):
        chosen["INFERENCE_PRECISION_HINT"] = precision(config)
    if on != "CPU":
        return {key: value for key, value in chosen.items() if key not in _ONLY_CPU}
    return {"ENABLE_CPU_PINNING": False, **chosen, "INFERENCE_NUM_THREADS": thread_count(config, placement)}


def _value(config: ModelConfig, key: str) -> str:
    """A parameter's value; empty where it has none that fits, which is told, and the model is tried all the same."""
    value = str(config.parameters[key].string_value) if key in config.parameters else ""
    return value if _RULES[key].fits(value) else ""


_READERS: tuple[tuple[dict[str, Rule], Callable[[str], Any]], ...] = (
    (_WORDS, str),
    (_NUMBERS, int),
    (_SWITCHES, lambda value: value.lower() in _ON),
)
