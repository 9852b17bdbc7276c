"""How a model that is not in a repository yet is looked at, before and while it is added to one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, BackendKind, Placement, Surroundings
from tcli_server.errors import InvalidArgumentError, ServerError
from tcli_server.hardware.cores import usable_cores
from tcli_server.signature import ModelSignature


class Handling:
    """What is special about a backend's models while they are added. Whoever inherits from this says only that.

    Nothing of it but `signature` may need what the backend runs models by.
    """

    def check(self, path: Path) -> None:
        """Judge a file, or folder, as far as that goes without the framework.

        Raises:
            ModelFileError: it is no model of this backend.
        """

    def file_name(self, kind: BackendKind, path: Path) -> str:
        """What the model's file, or folder, is called in a version's folder."""
        ending = path.suffix.lower()
        return next((name for name in kind.files if Path(name).suffix == ending), kind.model_file)

    def parts(self, path: Path) -> dict[str, Path]:  # noqa: ARG002
        """Further files of the model: their places beside its own file -> where they are now.

        Raises:
            ServerError: one is missing, or lies where it cannot stay.
        """
        return {}

    def batch_doubt(self, path: Path, signature: ModelSignature) -> str:  # noqa: ARG002
        """Why a model's batches are probably wrong, as far as its file says; empty where it does not."""
        return ""

    def names_batch(self, path: Path, signature: ModelSignature) -> bool:  # noqa: ARG002
        """Whether the file itself calls the first dimension of every input a batch."""
        return False

    def needs(self, path: Path) -> tuple[str, ...]:  # noqa: ARG002
        """Further files without which the model cannot be loaded, relative to its folder, whether they are there or not."""
        return ()

    def signature(
        self, backend: Backend, config: ModelConfig, model_file: Path, surroundings: Surroundings
    ) -> ModelSignature | None:
        """What a model takes and gives that has no configuration yet; by default what an instance of it says.

        Raises:
            ServerError: it cannot be loaded, or not be served.
        """
        instance = backend.open(config, model_file, Placement(config.name, None, usable_cores()), surroundings)
        try:
            return instance.signature
        finally:
            instance.close()


class GuardedHandling(Handling):
    """That of a backend, which may raise anything on a strange file: told as what is wrong with the model.

    Args:
        name: the backend's.
    """

    def __init__(self, inner: Handling, name: str) -> None:
        self._inner = inner
        self._name = name

    def check(self, path: Path) -> None:
        """As `Handling.check`."""
        with self._told(path):
            self._inner.check(path)

    def file_name(self, kind: BackendKind, path: Path) -> str:
        """As `Handling.file_name`."""
        with self._told(path):
            return self._inner.file_name(kind, path)

    def parts(self, path: Path) -> dict[str, Path]:
        """As `Handling.parts`."""
        with self._told(path):
            return dict(self._inner.parts(path))

    def batch_doubt(self, path: Path, signature: ModelSignature) -> str:
        """As `Handling.batch_doubt`."""
        with self._told(path):
            return self._inner.batch_doubt(path, signature)

    def names_batch(self, path: Path, signature: ModelSignature) -> bool:
        """As `Handling.names_batch`."""
        with self._told(path):
            return self._inner.names_batch(path, signature)

    def needs(self, path: Path) -> tuple[str, ...]:
        """As `Handling.needs`."""
        with self._told(path):
            return tuple(self._inner.needs(path))

    def signature(
        self, backend: Backend, config: ModelConfig, model_file: Path, surroundings: Surroundings
    ) -> ModelSignature | None:
        """As `Handling.signature`."""
        with self._told(model_file):
            return self._inner.signature(backend, config, model_file, surroundings)

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (ServerError, OSError):
            raise
        except Exception as error:
            text = f"{path}: the backend '{self._name}' fails on it: {type(error).__name__}: {error}"
            raise InvalidArgumentError(text) from error
