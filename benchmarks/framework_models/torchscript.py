"""The network as a TorchScript file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from framework_models import CLASSES
from framework_models.torch_network import network

INPUT = "INPUT__0"
THREADS = "INTRA_OP_THREAD_COUNT"
CONFIG = f"""backend: "pytorch"
input {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }}
output {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ {CLASSES} ] }}
"""


def write(version: Path) -> None:
    torch.jit.trace(network(), torch.rand(1, 3, 224, 224)).save(str(version / "model.pt"))


def alone(version: Path, threads: int) -> Callable[[np.ndarray], object]:
    torch.set_num_threads(threads)
    module = torch.jit.load(str(version / "model.pt"))

    @torch.inference_mode()
    def run(batch: np.ndarray) -> object:
        return module(torch.from_numpy(batch)).numpy()

    return run
