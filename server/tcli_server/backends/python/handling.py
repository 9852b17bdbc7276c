"""What is special about Python models while they are added to a repository."""

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Surroundings
from tcli_server.backends.handling import Handling
from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.python.kind import PYTHON


class PythonHandling(Handling):
    """Only the model itself says what it takes, when it completes its configuration."""

    def check(self, path: Path) -> None:
        """As `Handling.check`: whether there is the class of a model."""
        try:
            code = path.read_bytes()
        except OSError as error:
            raise _no_model(path, f"unreadable ({error.strerror})", "put a file there that can be read") from None
        if PYTHON.source.contains not in code:
            raise _no_model(path, "a Python file without a class TritonPythonModel", "name the file that has it")

    def signature(self, backend: Backend, config: ModelConfig, model_file: Path, surroundings: Surroundings) -> None:
        """As `Handling.signature`: nothing that could be known without a configuration."""


def _no_model(path: Path, found: str, fix: str) -> ModelFileError:
    return ModelFileError(path, "a Python model", found, fix)
