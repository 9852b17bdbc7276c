"""PyTorch's models are proved as any others."""

from pathlib import Path

import pytest

from tcli_server.proof import Verdict, prove_batching

torch = pytest.importorskip("torch")
import torch_models as models  # noqa: E402

CONFIG = "max_batch_size: 8\n" + models.tensor("input", "x", "16") + models.tensor("output", "OUTPUT__0", "16")


class OverTheBatch(torch.nn.Module):
    """Alone the mean is the item: only a batch shows it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0, keepdim=True)


class Dropped(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x, 0.5, True)


class InBfloat16(torch.nn.Module):
    """FP32 outside, less inside."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(16, 16).to(torch.bfloat16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(20):
            x = torch.tanh(x.to(torch.bfloat16) @ self.weight).float()
        return x


class SequenceFirst(torch.nn.Module):
    """As `torch.nn.LSTM` is by default: [time, batch, features]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x.reshape(x.shape[0], 4, 4))[0].reshape(x.shape[0], 16)


def proved(tmp_path: Path, module: torch.nn.Module) -> Verdict:
    models.write_script(tmp_path, "m", module, CONFIG)
    return prove_batching(tmp_path / "m")


@pytest.mark.parametrize(
    ("module", "outcome"),
    [
        (models.Identity(), "ok"),
        (InBfloat16(), "ok"),
        (OverTheBatch(), "wrong"),
        (SequenceFirst(), "wrong"),
        (Dropped(), "unchecked"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else value,
)
def test_the_verdict(tmp_path: Path, module: torch.nn.Module, outcome: str):
    assert proved(tmp_path, module).outcome == outcome


def test_batch_normalization_as_trained(tmp_path: Path):
    """A model that was saved while it was trained is served as one that is used: its batches are right."""
    assert proved(tmp_path, torch.nn.Sequential(torch.nn.BatchNorm1d(16)).train()).outcome == "ok"
