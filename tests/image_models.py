"""Models of the backend `image` for the tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def image_config(
    dims: str = "3, 32, 48",
    kind: str = "FP32",
    parameters: Mapping[str, str] | None = None,
    max_batch_size: int = 8,
    more: str = "",
) -> str:
    """The configuration of a model of pictures."""
    given = "\n".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        for key, value in (parameters or {}).items()
    )
    return f"""
backend: "image"
max_batch_size: {max_batch_size}
input [ {{ name: "IMAGE" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [ {{ name: "PIXELS" data_type: TYPE_{kind} dims: [ {dims} ] }} ]
{given}
{more}
"""


def write_image_model(repository: Path, name: str, config: str) -> Path:
    """A folder with a configuration and an empty version."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    return folder


def pictures(*contents: bytes) -> np.ndarray:
    """A batch of pictures, BYTES [batch, 1]."""
    array = np.empty((len(contents), 1), np.object_)
    array[:, 0] = contents
    return array
