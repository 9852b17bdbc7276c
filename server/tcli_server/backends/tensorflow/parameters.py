"""What a configuration may tell this backend, under Triton's names."""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Placement
from tcli_server.backends.complaint import SWITCH, Rule, count

SIGNATURE, TAG = "TF_SIGNATURE_DEF", "TF_GRAPH_TAG"
_INTRA, _INTER = "TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"
_SHARE = "MAX_SESSION_SHARE_COUNT"
_THREADS = count("a whole number of threads, 0 for the default", 1 << 10)

KNOWN = {
    SIGNATURE: Rule("the name of a signature of the model", "serving_default", bool),
    TAG: Rule("a tag of the model", "serve", bool),
    _INTRA: _THREADS,
    _INTER: _THREADS,
    "TF_USE_PER_SESSION_THREADS": SWITCH,  # that is how it is here, always
    _SHARE: count("a whole number of instances, 1 or more", least=1),
}


def signature_name(config: ModelConfig) -> str:
    """The signature that answers."""
    return config.parameters[SIGNATURE].string_value if SIGNATURE in config.parameters else "serving_default"


def graph_tag(config: ModelConfig) -> str:
    """The tag of the graph that has it."""
    return config.parameters[TAG].string_value if TAG in config.parameters else "serve"


def thread_counts(config: ModelConfig, placement: Placement) -> tuple[int, int]:
    """Threads inside of an operator, and for operators side by side.

    Each session has threads of its own, as TensorFlow's pools for the whole process are as wide as the machine for
    every instance. The second is -1 where the calling thread runs one operator after another.
    """
    intra = _number(config, _INTRA) or placement.threads
    return intra, _number(config, _INTER) or (intra if intra > 1 else -1)


def share_count(config: ModelConfig) -> int:
    """Instances that use one session at most."""
    return _number(config, _SHARE) or 1


def _number(config: ModelConfig, key: str) -> int:
    value = config.parameters[key].string_value if key in config.parameters else ""
    return int(value) if KNOWN[key].fits(value) else 0  # what does not fit is told, and a check goes on
