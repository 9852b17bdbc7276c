"""Plan files for the stand-in of TensorRT in `stand_ins`."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

STAND_INS = Path(__file__).parent / "stand_ins"
VERSION = "10.16.1.11"

Ranges = Mapping[str, Sequence[Sequence[int]]]


@contextmanager
def stand_ins(**environment: str) -> Iterator[None]:
    """Processes that are started in it find the stand-ins, and so a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(STAND_INS), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


def tensor(name: str, shape: Sequence[int], dtype: str = "FLOAT", **more: object) -> dict:
    """One input or output of an engine."""
    return {"name": name, "shape": list(shape), "dtype": dtype, **more}


def plan(
    tensors: Sequence[dict], program: Mapping[str, str], profiles: Sequence[dict | Ranges] = (), **more: object
) -> bytes:
    """An engine.

    Args:
        program: output -> an expression in numpy of the inputs.
        profiles: input -> its least, best and largest shape, or a whole profile with `values`, too.
    """
    rows = [profile if "shapes" in profile else {"shapes": profile} for profile in profiles]
    document = {"version": VERSION, "tensors": list(tensors), "program": dict(program), "profiles": rows, **more}
    return b"ftrt" + json.dumps(document).encode()


def add_sub(batch: int = -1, most: int = 8, least: int = 1, dtype: str = "FLOAT", **more: object) -> bytes:
    """OUTPUT0 = INPUT0 + INPUT1 and OUTPUT1 = INPUT0 - INPUT1, of 16 elements."""
    names = ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")
    limits = [[least, 16], [max(least, most // 2), 16], [most, 16]]
    profiles = [{"INPUT0": limits, "INPUT1": limits}] if batch == -1 else []
    return plan(
        [tensor(name, (batch, 16), dtype) for name in names],
        {"OUTPUT0": "INPUT0 + INPUT1", "OUTPUT1": "INPUT0 - INPUT1"},
        profiles,
        **more,
    )


def write_plan(repository: Path, name: str, content: bytes, config: str | None = None) -> Path:
    """Write `<repository>/<name>/1/model.plan`, with a config.pbtxt if given."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.plan").write_bytes(content)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    return folder
