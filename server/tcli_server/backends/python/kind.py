"""How a configuration or a folder names this backend."""

from tcli_server.backends import BackendKind
from tcli_server.backends.source import Source

IGNORED_SETTINGS = (
    "shm-default-byte-size",
    "shm-growth-byte-size",
    "shm-region-prefix-name",
    "shm_message_queue_size",
)
"""Triton's, for memory that it takes beforehand; here it grows and shrinks with what is in it."""

MEMORY_LIMIT = "shm-limit-byte-size"

PYTHON = BackendKind(
    "python",
    "",
    "model.py",
    ("stub-timeout-seconds", "thread-pool-size", *IGNORED_SETTINGS, MEMORY_LIMIT),
    implementation="tcli_server.backends.python.backend:PythonBackend",
    source=Source(
        "a Python model",
        contains=b"TritonPythonModel",
        takes_folder=True,
        handling="tcli_server.backends.python.handling:PythonHandling",
    ),
)
