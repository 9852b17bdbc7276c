"""The groups of calls that access is given to."""

from enum import StrEnum


class Api(StrEnum):
    """Triton's groups, and the metrics port."""

    HEALTH = "health"
    METADATA = "metadata"
    INFERENCE = "inference"
    SHARED_MEMORY = "shared-memory"
    MODEL_CONFIG = "model-config"
    MODEL_REPOSITORY = "model-repository"
    STATISTICS = "statistics"
    TRACE = "trace"
    LOGGING = "logging"
    METRICS = "metrics"


RESTRICTABLE = {api.value: api for api in Api if api is not Api.METRICS}
"""What Triton's restrictions know, by name."""
