"""What a configuration may tell this backend, under Triton's names."""

import torch
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Placement
from tcli_server.backends.complaint import SWITCH, count, is_on
from tcli_server.observability.log import LOG

_THREADS = count("a whole number of threads, 1 or more", 1 << 10, 1)

INTRA_OP, INTER_OP = "INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT"
UNOPTIMIZED = "DISABLE_OPTIMIZED_EXECUTION"
INFERENCE_MODE = "INFERENCE_MODE"
SHARED_WEIGHTS = "ENABLE_WEIGHT_SHARING"
CACHE_CLEANING = ("ENABLE_CACHE_CLEANING", "CACHE_CLEANING_ENABLED")
"""Triton has the second name for compiled models."""
_NO_CUDNN = "DISABLE_CUDNN"
_NVFUSER = "ENABLE_NVFUSER"
_OF_THE_PROCESS = {
    "ENABLE_JIT_EXECUTOR": "_jit_set_profiling_executor",
    "ENABLE_JIT_PROFILING": "_jit_set_profiling_mode",
    "ENABLE_TENSOR_FUSER": "_jit_set_texpr_fuser_enabled",
}
"""Switches that PyTorch has only for all models together, as in Triton; and what sets them."""

KNOWN = {
    INTRA_OP: _THREADS,
    INTER_OP: _THREADS,
    UNOPTIMIZED: SWITCH,
    INFERENCE_MODE: SWITCH,
    SHARED_WEIGHTS: SWITCH,
    _NO_CUDNN: SWITCH,
    _NVFUSER: SWITCH,
    **dict.fromkeys(CACHE_CLEANING, SWITCH),
    **dict.fromkeys(_OF_THE_PROCESS, SWITCH),
}


def switch(config: ModelConfig, key: str, default: bool = False) -> bool:
    """What a parameter of the rule `SWITCH` says."""
    return is_on(config.parameters[key].string_value) if key in config.parameters else default


def thread_count(config: ModelConfig, placement: Placement) -> int:
    """Threads inside of an operator, the calling one among them. In Triton this is one number for all models."""
    return _number(config, INTRA_OP) or placement.threads


def apply_to_the_process(config: ModelConfig) -> None:
    """Set what PyTorch has only once, for all models of this process."""
    for key, setter in _OF_THE_PROCESS.items():
        if key in config.parameters and hasattr(torch._C, setter):
            getattr(torch._C, setter)(switch(config, key))
    if switch(config, _NO_CUDNN):
        torch.backends.cudnn.enabled = False
    if switch(config, _NVFUSER):
        LOG.warning("model '%s': %s does nothing: PyTorch has no nvFuser any more", config.name, _NVFUSER)
    wanted = _number(config, INTER_OP)
    if wanted:
        if wanted == torch.get_num_interop_threads():
            return
        try:
            torch.set_num_interop_threads(wanted)
        except RuntimeError:  # it can be set once, before anything has run
            LOG.warning(
                "model '%s': %s of %d is left out: another model, or PyTorch itself, has already set %d for all models",
                config.name,
                INTER_OP,
                wanted,
                torch.get_num_interop_threads(),
            )


def _number(config: ModelConfig, key: str) -> int:
    value = config.parameters[key].string_value if key in config.parameters else ""
    return int(value) if KNOWN[key].fits(value) else 0  # what does not fit is told, and a check goes on
