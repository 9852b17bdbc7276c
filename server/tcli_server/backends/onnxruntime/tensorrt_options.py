"""The parameters of the accelerator `tensorrt` under Triton's names, and what ONNX Runtime's TensorRT provider calls them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tcli_server.backends.cache_folder import FOLDER, made
from tcli_server.backends.complaint import SWITCH, Complaint, Rule, choice, count, is_on

_CACHE, _CACHE_PATH = "trt_engine_cache_enable", "trt_engine_cache_path"
_TIMING, _TIMING_PATH = "trt_timing_cache_enable", "trt_timing_cache_path"
_DUMPED, _DUMP_PATH = "trt_dump_ep_context_model", "trt_ep_context_file_path"
_USUAL_FOLDER = ".tensorrt"

_SHAPES = re.compile(r"[^:,]+:\d{1,9}(x\d{1,9})*(,[^:,]+:\d{1,9}(x\d{1,9})*)*")
_PROFILE = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")
_SHAPE_TEXT = Rule(
    "shapes of inputs like input1:1x3x224x224,input2:1x8",
    "INPUT0:1x16",
    lambda value: _SHAPES.fullmatch(value) is not None,
)
_FILE = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_FILE_NAME = Rule("a name without folders", "model", lambda value: _FILE.fullmatch(value) is not None)
_TACTIC = r"[+-](CUBLAS|CUBLAS_LT|CUDNN|EDGE_MASK_CONVOLUTIONS|JIT_CONVOLUTIONS)"
_TACTICS = re.compile(f"{_TACTIC}(,{_TACTIC})*")
_STREAMS = count("a whole number of streams, or -1 for TensorRT's choice", 1 << 10)

RULES: dict[str, Rule] = {
    "precision_mode": choice("FP32", "FP16", "BF16", "INT8"),
    "max_workspace_size_bytes": count("a whole number of bytes, 0 for no limit", (1 << 63) - 1),
    "trt_max_partition_iterations": count("a whole number, at least 1", 1 << 31, 1),
    "trt_min_subgraph_size": count("a whole number of nodes, at least 1", 1 << 31, 1),
    "int8_calibration_table_name": _FILE_NAME,
    "int8_use_native_calibration_table": SWITCH,
    "trt_dla_enable": SWITCH,
    "trt_dla_core": count("the number of a DLA core", 64),
    _CACHE: SWITCH,
    _CACHE_PATH: FOLDER,
    "trt_engine_cache_prefix": _FILE_NAME,
    "trt_dump_subgraphs": Rule(
        "false: ONNX Runtime would write them into the server's working directory",
        "false",
        lambda value: SWITCH.fits(value) and not is_on(value),
    ),
    "trt_force_sequential_engine_build": SWITCH,
    "trt_context_memory_sharing_enable": SWITCH,
    "trt_layer_norm_fp32_fallback": SWITCH,
    _TIMING: SWITCH,
    _TIMING_PATH: FOLDER,
    "trt_force_timing_cache": SWITCH,
    "trt_detailed_build_log": SWITCH,
    "trt_build_heuristics_enable": SWITCH,
    "trt_sparsity_enable": SWITCH,
    "trt_builder_optimization_level": count("a level from 0 to 5", 5),
    "trt_auxiliary_streams": _STREAMS._replace(fits=lambda value: value == "-1" or _STREAMS.fits(value)),
    "trt_tactic_sources": Rule(
        "sources with + or - before each, like -CUDNN,+CUBLAS",
        "-CUDNN,+CUBLAS",
        lambda value: _TACTICS.fullmatch(value) is not None,
    ),
    "trt_extra_plugin_lib_paths": Rule(
        "no library of plugins: tcli loads no native code that a configuration names", "", lambda value: not value
    ),
    **dict.fromkeys(_PROFILE, _SHAPE_TEXT),
    "trt_cuda_graph_enable": SWITCH,
    _DUMPED: SWITCH,
    _DUMP_PATH: FOLDER,
    "trt_ep_context_embed_mode": choice("0", "1"),
}

_PRECISIONS = {"FP16": "trt_fp16_enable", "BF16": "trt_bf16_enable", "INT8": "trt_int8_enable"}
_RENAMED = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}


def complaints(field: str, given: Mapping[str, str]) -> Iterator[Complaint]:
    """What is wrong with several parameters together, each of which is right alone.

    Args:
        field: the map that holds them.
    """
    there = [key for key in _PROFILE if key in given]
    if not there or not all(_SHAPE_TEXT.fits(given[key]) for key in there):
        return
    missing = [key for key in _PROFILE if key not in given]
    if missing:
        expected = "minimum, optimum and maximum together"
        yield Complaint(f'{field}["{there[0]}"]', f"no {' and no '.join(missing)}", expected, f"add {missing[0]}")
        return
    least, best, most = (_shapes(given[key]) for key in _PROFILE)
    for name in {**least, **best, **most}:
        rows = [shapes.get(name) for shapes in (least, best, most)]
        ranks = {len(row) for row in rows if row is not None}
        if None in rows or len(ranks) > 1 or not all(a <= b <= c for a, b, c in zip(*rows, strict=True)):
            found = ", ".join("none" if row is None else "x".join(map(str, row)) for row in rows)
            expected = "three shapes of the same rank with minimum <= optimum <= maximum"
            yield Complaint(f'{field}["{_PROFILE[0]}"]', f"{found} for '{name}'", expected, "correct the shapes")
            return


def _shapes(text: str) -> dict[str, tuple[int, ...]]:
    pairs = (part.rsplit(":", 1) for part in text.split(","))
    return {name: tuple(map(int, shape.split("x"))) for name, shape in pairs}


def options(given: Mapping[str, str], folder: Path, gpu: int) -> dict[str, str]:
    """The options of one instance's provider, for ONNX Runtime.

    Args:
        folder: the model's, in which caches are kept.

    Raises:
        InvalidArgumentError: a cache's folder cannot be used.
    """
    chosen = {"device_id": str(gpu)}
    for key, value in given.items():
        if key == "precision_mode":
            chosen.update({_PRECISIONS[value]: "True"} if value in _PRECISIONS else {})
        elif RULES[key] is SWITCH:
            chosen[_RENAMED.get(key, key)] = str(is_on(value))
        elif RULES[key] is not FOLDER and value and key != "trt_dump_subgraphs":
            chosen[_RENAMED.get(key, key)] = value
    # Without a path ONNX Runtime would write into the server's working directory.
    for switch, path in ((_CACHE, _CACHE_PATH), (_TIMING, _TIMING_PATH), (_DUMPED, _DUMP_PATH)):
        needed = is_on(given.get(switch, "")) or (path == _CACHE_PATH and "int8_calibration_table_name" in given)
        if needed or path in given:
            chosen[path] = str(made(folder / given.get(path, _USUAL_FOLDER), f"the accelerator tensorrt's {path}"))
    if is_on(given.get(_DUMPED, "")) and _CACHE_PATH in chosen:
        chosen[_CACHE_PATH] = Path(chosen[_CACHE_PATH]).name  # relative to the dumped model, or ONNX Runtime refuses it
    return chosen
