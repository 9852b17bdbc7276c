"""The options of ONNX Runtime's CUDA provider that name nothing outside of the process, under its own names, which are Triton's."""

from collections.abc import Iterator, Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.complaint import SWITCH, Complaint, Rule, choice, count, is_on

_BYTES = Rule(
    "a whole number of bytes, at least 1",
    "4294967296",
    lambda value: value.isascii() and value.isdigit() and len(value) <= 20 and 0 < int(value) < 1 << 64,
)
_SWITCHES = (
    "cudnn_conv_use_max_workspace",
    "cudnn_conv1d_pad_to_nc1d",
    "do_copy_in_default_stream",
    "enable_cuda_graph",
    "enable_skip_layer_norm_strict_mode",
    "use_tf32",
    "prefer_nhwc",
    "fuse_conv_bias",
    "tunable_op_enable",
    "tunable_op_tuning_enable",
    "use_ep_level_unified_stream",
)

RULES: dict[str, Rule] = {
    "gpu_mem_limit": _BYTES,
    "arena_extend_strategy": choice("kNextPowerOfTwo", "kSameAsRequested"),
    "cudnn_conv_algo_search": choice("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "sdpa_kernel": count("a whole number: the bits of the attention kernels to allow, 0 for ONNX Runtime's choice"),
    "tunable_op_max_tuning_duration_ms": count("a whole number of milliseconds, 0 for no limit", most=1 << 31),
    **dict.fromkeys(_SWITCHES, SWITCH),
}

_BY_NUMBER = {
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
}
_OLD_RULES: dict[str, Rule] = {
    "cudnn_conv_algo_search": choice("0", "1", "2"),
    "arena_extend_strategy": choice("0", "1"),
    "gpu_mem_limit": _BYTES,
    "do_copy_in_default_stream": SWITCH,
}
"""Triton still takes these four as parameters of the model, with numbers for words."""


def old_complaints(config: ModelConfig, given: Mapping[str, str]) -> Iterator[Complaint]:
    """What is wrong with those that are parameters of the model.

    Args:
        given: those of the accelerator `cuda`.
    """
    for key, rule in _OLD_RULES.items():
        if key not in config.parameters:
            continue
        value, field = config.parameters[key].string_value, f'parameters["{key}"]'
        if not rule.fits(value):
            fix = f'write value {{ string_value: "{rule.example}" }}, or remove it'
            yield Complaint(field, f"'{value}'", rule.expected, fix)
        elif key in given:
            found = f"'{value}' beside '{given[key]}' of the accelerator 'cuda'"
            yield Complaint(field, found, "one of the two", "remove it here: Triton calls this place deprecated")


def options(given: Mapping[str, str], config: ModelConfig, gpu: int) -> dict[str, str]:
    """The options of one instance's provider, for ONNX Runtime."""
    chosen = {"device_id": str(gpu)}
    for key in _OLD_RULES:
        value = config.parameters[key].string_value if key in config.parameters else ""
        if value and _OLD_RULES[key].fits(value):
            chosen[key] = _BY_NUMBER[key][int(value)] if key in _BY_NUMBER else value
    chosen.update(given)
    return {key: str(int(is_on(value))) if RULES.get(key) is SWITCH else value for key, value in chosen.items()}
