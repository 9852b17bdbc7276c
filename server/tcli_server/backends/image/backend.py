"""Opens configurations of pictures."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Placement, Surroundings
from tcli_server.backends.complaint import Complaint
from tcli_server.backends.image.example import random_picture
from tcli_server.backends.image.instance import ImageInstance
from tcli_server.backends.image.kind import IMAGE
from tcli_server.backends.image.parameters import complaints, read_plan
from tcli_server.errors import ConfigError


class ImageBackend(Backend):
    """Makes instances that decode pictures."""

    kind = IMAGE
    code = Path(__file__)

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return complaints(config)

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:  # noqa: ARG002
        """As `Backend.thread_count`: none but the one that runs it."""
        return 0

    def examples(self, config: ModelConfig) -> Mapping[str, Callable[[np.random.Generator], np.ndarray]]:
        """As `Backend.examples`: pictures of a photo's size."""
        return {} if complaints(config) else {read_plan(config).input: random_picture}

    def open(
        self,
        config: ModelConfig,
        model_file: Path,  # noqa: ARG002
        placement: Placement,  # noqa: ARG002
        surroundings: Surroundings,  # noqa: ARG002
    ) -> ImageInstance:
        """As `Backend.open`.

        Raises:
            ConfigError: the configuration has been complained about; only a check opens it all the same.
        """
        if complaints(config):
            raise ConfigError([])
        # With all of it written and no batches, dims are whole; else they are what completes the configuration.
        batches = config.max_batch_size > 0 or not (config.input and config.output)
        return ImageInstance(read_plan(config), batches)
