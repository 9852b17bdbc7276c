"""Programs that AOTInductor compiled, under the names and the platform that Triton has for them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from asked_server import AskedServer

torch = pytest.importorskip("torch")
import torch_models as models  # noqa: E402
from torch_models import tensor  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler")
CONFIG = 'platform: "torch_aoti" max_batch_size: 8\n'


def write(repository: Path, name: str, config: str) -> Path:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(CONFIG + config)
    return folder / "model.pt2"


def test_a_compiled_program_is_served(tmp_path: Path):
    add_sub = models.AddSub()
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = {"x": {0: batch}, "y": {0: batch}}
    exported = torch.export.export(add_sub, (torch.rand(2, 4),), {"y": torch.rand(2, 3)}, dynamic_shapes=shapes)
    by_path = tensor("input", "ARGS[0]", "4") + tensor("input", "KWARGS[y]", "3")
    by_path += tensor("output", "RESULT[1]", "3") + tensor("output", "RESULT[0]", "3")
    file = write(tmp_path, "by_path", by_path)
    torch._inductor.aoti_compile_and_package(exported, package_path=str(file))
    by_index = tensor("input", "INPUT__0", "-1") + tensor("input", "INPUT__1", "-1")
    shutil.copy(file, write(tmp_path, "by_index", by_index + tensor("output", "OUTPUT__0", "3")))
    x, y = np.random.default_rng(0).random((3, 4), np.float32), np.ones((3, 3), np.float32)
    with torch.no_grad():
        expected = [each.numpy() for each in add_sub(torch.from_numpy(x), torch.from_numpy(y))]
    with AskedServer(tmp_path) as server:
        answers = server.ask("http", "by_path", {"KWARGS[y]": y, "ARGS[0]": x})
        np.testing.assert_allclose(answers["RESULT[0]"], expected[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(answers["RESULT[1]"], expected[1], rtol=1e-5, atol=1e-6)
        answers = server.ask("grpc", "by_index", {"INPUT__0": x, "INPUT__1": y})
        np.testing.assert_allclose(answers["OUTPUT__0"], expected[0], rtol=1e-5, atol=1e-6)
        with pytest.raises(InferenceServerException, match="PyTorch execute failure"):
            server.ask("http", "by_index", {"INPUT__0": x[:, :2], "INPUT__1": y})
        assert server.ask("grpc", "by_index", {"INPUT__0": x, "INPUT__1": y}).keys() == {"OUTPUT__0"}
