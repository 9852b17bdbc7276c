"""The parameters of the accelerator `openvino`. Triton ignores all of them; these are ONNX Runtime's own names."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tcli_server.backends.cache_folder import FOLDER, made
from tcli_server.backends.complaint import SWITCH, Complaint, Rule, choice, count, is_on

_THREADS = count("a whole number of threads, at least 1", 1 << 10, 1)

RULES: dict[str, Rule] = {
    "device_type": choice("CPU", "GPU", "NPU"),
    "precision": choice("FP32", "BF16", "FP16", "ACCURACY"),
    "num_of_threads": _THREADS,
    "num_streams": count("a whole number of streams, at least 1", 1 << 10, 1),
    "cache_dir": FOLDER,
    "disable_dynamic_shapes": SWITCH,
    "enable_qdq_optimizer": SWITCH,
    "model_priority": choice("LOW", "MEDIUM", "HIGH", "DEFAULT"),
}


def complaints(field: str, given: Mapping[str, str]) -> Iterator[Complaint]:
    """What is wrong with several parameters together, each of which is right alone.

    Args:
        field: the map that holds them.
    """
    if not _has_precision(given):
        found = "'FP16', but ONNX Runtime's OpenVINO provider computes FP32, BF16 or ACCURACY on a CPU"
        yield Complaint(f'{field}["precision"]', found, "one of these", 'write value: "BF16", or remove it')


def options(given: Mapping[str, str], folder: Path, threads: int) -> dict[str, str]:
    """The options of one instance's provider, for ONNX Runtime.

    Args:
        folder: the model's, in which the cache is kept.
        threads: what the instance may take; OpenVINO's default is 8, whatever the machine has.

    Raises:
        InvalidArgumentError: the cache's folder cannot be used.
    """
    device = given.get("device_type", "CPU")
    chosen = {"device_type": device}
    if device == "CPU":
        chosen["num_of_threads"] = str(thread_count(given, threads))
    for key, value in given.items():
        if RULES[key] is SWITCH:
            chosen[key] = str(is_on(value))
        elif key == "cache_dir":
            chosen[key] = str(made(folder / value, "the accelerator openvino's cache_dir"))
        elif key == "precision" and value == "BF16":  # the provider has no word for it, OpenVINO has
            chosen["load_config"] = json.dumps({device: {"INFERENCE_PRECISION_HINT": "bf16"}})
        elif key != "num_of_threads" and (key != "precision" or _has_precision(given)):
            chosen[key] = value
    return chosen


def thread_count(given: Mapping[str, str], threads: int) -> int:
    """Threads of OpenVINO's that one instance starts, which may fill so many."""
    return int(given.get("num_of_threads") or threads)


def _has_precision(given: Mapping[str, str]) -> bool:
    return given.get("device_type", "CPU") != "CPU" or given.get("precision") != "FP16"
