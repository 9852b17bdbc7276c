"""What the server metadata tells of this server: its version and its extensions."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("tcli")
except PackageNotFoundError:  # imported from a source tree that is not installed
    VERSION = "0"

EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)
"""The V2 extensions that this server speaks, by Triton's names."""
