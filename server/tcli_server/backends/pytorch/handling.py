"""What is special about PyTorch's files while they are added to a repository."""

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Surroundings
from tcli_server.backends.handling import Handling
from tcli_server.backends.pytorch.archive import Format, read_format
from tcli_server.signature import ModelSignature


class PyTorchHandling(Handling):
    """A checkpoint, which holds weights only, is told without PyTorch. What TorchScript does not say is tried."""

    def check(self, path: Path) -> None:
        """As `Handling.check`."""
        read_format(path)

    def signature(
        self, backend: Backend, config: ModelConfig, model_file: Path, surroundings: Surroundings
    ) -> ModelSignature | None:
        """As `Handling.signature`; of TorchScript by running it, where the configuration says all of its inputs."""
        signature = super().signature(backend, config, model_file, surroundings)
        listed = {tensor.name for tensor in config.input}
        needed = {tensor.name for tensor in signature.inputs} if signature is not None else {""}
        if not listed or not needed <= listed or read_format(model_file) != Format.SCRIPT:
            return signature
        from tcli_server.backends.pytorch.observed import observed_signature  # loads PyTorch

        return observed_signature(model_file, config)
