"""What a process of its own is to find out, on its way there."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.models.draft import BackendConfig
from tcli_server.repository import ModelFolder

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Job:
    """The arguments of `prove_batching`."""

    folder: ModelFolder
    version: int | None
    config: ModelConfig | None
    shapes: Shapes
    sizes: tuple[int, ...]
    seconds: float
    settings: BackendConfig

    def text(self) -> str:
        """Itself as an argument of a process."""
        folder, config = self.folder, self.config
        return json.dumps(
            {
                "folder": [folder.name, str(folder.path.absolute()), folder.config_name],
                "version": self.version,
                "config": None if config is None else base64.b64encode(config.SerializeToString()).decode(),
                "shapes": {name: list(shape) for name, shape in self.shapes.items()},
                "sizes": self.sizes,
                "seconds": self.seconds,
                "settings": {owner: dict(values) for owner, values in self.settings.items()},
            }
        )

    @classmethod
    def of(cls, text: str) -> "Job":
        """The job that such a text is of."""
        values = json.loads(text)
        name, path, config_name = values.pop("folder")
        given, sizes = values.pop("config"), tuple(values.pop("sizes"))
        config = None if given is None else ModelConfig.FromString(base64.b64decode(given))
        return cls(ModelFolder(name, Path(path), config_name), config=config, sizes=sizes, **values)
