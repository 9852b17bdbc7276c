"""What an exported program leaves behind when it is unloaded: nothing that this server holds."""

import gc
from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine, EngineOptions

torch = pytest.importorskip("torch")
import torch_models as models  # noqa: E402

ROUNDS = 3


def loaded_modules() -> int:
    gc.collect()
    kinds = (torch.fx.GraphModule, torch.export.ExportedProgram)
    return sum(issubclass(type(each), kinds) for each in gc.get_objects())


def test_no_program_outlives_its_model(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch")
    inputs = (torch.zeros(2, 4), torch.zeros(2, 3))
    models.write_exported(tmp_path, "m", models.AddSub(), inputs, shapes=({0: batch}, {0: batch}))
    x, y = np.ones((1, 4), np.float32), np.ones((1, 3), np.float32)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        before = loaded_modules()
        for _ in range(ROUNDS):
            engine.load("m")
            assert loaded_modules() > before
            engine.infer("m", {"x": x, "y": y})
            engine.unload("m")
        assert loaded_modules() == before
