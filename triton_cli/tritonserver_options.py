"""tritonserver's options that `tcli serve` does not have, so that people's launch scripts start or fail for a reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Foreign:
    """One of these options.

    Attributes:
        text: why it has no effect here; what to do instead, where it is refused.
        refused: it asks for something that is missing here, and going on without would not be what was asked for.
        boolean: it may stand without a value.
    """

    text: str
    refused: bool = False
    boolean: bool = False


def _ignored(text: str, boolean: bool = False) -> Foreign:
    return Foreign(text, boolean=boolean)


def _missing(fix: str) -> Foreign:
    return Foreign(fix, refused=True)


_ONE_LOOP = "one event loop serves all connections"
_NO_PLUGINS = "nothing is loaded from plug-in folders: backends are Python packages"
_NO_POOLS = "memory is taken when it is needed, not from pools of a fixed size"

TRITONSERVER_OPTIONS: dict[str, Foreign] = {
    # models
    "--model-load-gpu-limit": _missing("leave it out and set the parameter gpu_mem_limit in the models' config.pbtxt"),
    "--enable-peer-access": _ignored("nothing is copied between GPUs", boolean=True),
    "--repoagent-directory": _ignored(_NO_PLUGINS),
    "--cache-directory": _ignored(_NO_PLUGINS),
    # machine
    "--pinned-memory-pool-byte-size": _ignored(_NO_POOLS),
    "--cuda-memory-pool-byte-size": _ignored(_NO_POOLS),
    "--cuda-virtual-address-size": _ignored(_NO_POOLS),
    "--min-supported-compute-capability": _ignored("the CUDA libraries decide which GPUs they support"),
    "--buffer-manager-thread-count": _ignored("the instance that runs a batch also copies its tensors"),
    "--host-policy": _ignored("instances are not bound to cores; start it with numactl or taskset for that"),
    # HTTP
    "--http-thread-count": _ignored(_ONE_LOOP),
    # gRPC
    "--grpc-infer-thread-count": _ignored(_ONE_LOOP),
    "--grpc-infer-allocation-pool-size": _ignored(_NO_POOLS),
    "--grpc-max-response-pool-size": _ignored(_NO_POOLS),
    # what is observed
    # other services
    "--sagemaker-safe-port-range": _ignored(
        "the ports are those of the options, as in Triton, which does not hold it either"
    ),
    "--sagemaker-thread-count": _ignored(_ONE_LOOP),
    "--vertex-ai-thread-count": _ignored(_ONE_LOOP),
}
"""By name."""

RENAMED = {"--strict-model-config": "--disable-auto-complete-config"}
"""Deprecated names of switches that there are."""
