"""The network as an exported program of PyTorch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from framework_models.torch_network import network

INPUT = "picture"
THREADS = "INTRA_OP_THREAD_COUNT"
CONFIG = 'backend: "pytorch"'


class Named(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.network(picture)


def write(version: Path) -> None:
    shapes = {"picture": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(Named().eval(), (torch.rand(2, 3, 224, 224),), dynamic_shapes=shapes)
    torch.export.save(exported, version / "model.pt2")


def alone(version: Path, threads: int) -> Callable[[np.ndarray], object]:
    torch.set_num_threads(threads)
    module = torch.export.load(version / "model.pt2").module()

    @torch.inference_mode()
    def run(batch: np.ndarray) -> object:
        return module(torch.from_numpy(batch)).numpy()

    return run
