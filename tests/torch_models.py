"""Small models of PyTorch, and their files, for the tests."""

from pathlib import Path
from typing import NamedTuple, Optional

import torch


class AddSub(torch.nn.Module):
    """Two inputs, two outputs, with weights that a seed gives."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.linear(x)
        return hidden + y, hidden - y


class Named(AddSub):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.linear(x)
        return {"sum": hidden + y, "difference": hidden - y}


class FromDict(torch.nn.Module):
    def forward(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        return tensors["a"] - tensors["b"]


class Shout(torch.nn.Module):
    def forward(self, words: list[str]) -> list[str]:
        return [word + "!" for word in words]


class Length(torch.nn.Module):
    def forward(self, words: list[str], scale: torch.Tensor) -> torch.Tensor:
        lengths = [len(word) for word in words]
        return torch.tensor(lengths, dtype=torch.int64).unsqueeze(1) * scale


class Identity(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Writes(torch.nn.Module):
    """Changes its input where that lies."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.add_(1)
        return x


class Masked(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: Optional[torch.Tensor] = None) -> torch.Tensor:  # noqa: UP045
        return x if mask is None else x * mask


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class Fails(torch.nn.Module):
    """Cannot run on batches that hold a negative number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x < 0).any()):
            raise ValueError("a negative number")
        return x * 2


class Drops(torch.nn.Module):
    """Answers by chance while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(x)


class Sums(torch.nn.Module):
    """Adds up what comes, sequence by sequence; `start` begins anew."""

    def forward(self, x: torch.Tensor, start: torch.Tensor, total: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        after = torch.where(start > 0, x, total + x)
        return after, after


class Mean(torch.nn.Module):
    """Answers a tensor without dimensions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean()


class Constant(torch.nn.Module):
    """Answers its own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight if x.numel() else x


def write_script(repository: Path, name: str, module: torch.nn.Module, config: str, count: int = 1) -> Path:
    """Write a model with its TorchScript file; gives the file."""
    file = _place(repository, name, "model.pt", config, count)
    torch.jit.script(module).save(str(file))
    return file


def write_exported(
    repository: Path,
    name: str,
    module: torch.nn.Module,
    examples: tuple[object, ...],
    config: str = "",
    shapes: object = None,
    **named: object,
) -> Path:
    """Write a model with its exported program; gives the file."""
    file = _place(repository, name, "model.pt2", config, 1)
    torch.export.save(torch.export.export(module, examples, named, dynamic_shapes=shapes), file)
    return file


def _place(repository: Path, name: str, file: str, config: str, count: int) -> Path:
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    if config:
        group = f"instance_group {{ count: {count} kind: KIND_CPU }}" if count > 1 else ""
        (folder / "config.pbtxt").write_text(f'backend: "pytorch"\n{config}\n{group}')
    return folder / "1" / file


def tensor(side: str, name: str, dims: str, kind: str = "FP32") -> str:
    """A line of a configuration."""
    return f'{side} {{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ] }}\n'
