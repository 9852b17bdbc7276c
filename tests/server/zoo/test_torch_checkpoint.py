"""The checkpoint reader takes plain tensors and refuses everything else."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tcli_server.zoo.efficientnet_lite0 import weights_file
from tcli_server.zoo.torch_checkpoint import CheckpointError, load_checkpoint


def test_it_reads_every_tensor():
    tensors = load_checkpoint(weights_file())
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_conv_stem.weight"].dtype == np.float32
    assert tensors["_bn0.num_batches_tracked"].dtype == np.int64
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


class Harmful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.marker,))


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path):
    marker = tmp_path / "ran"
    file = tmp_path / "evil.pth"
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    file.write_bytes(b"".join([*head, pickle.dumps(Harmful(marker), 2)]))
    with pytest.raises(CheckpointError, match="not allowed"):
        load_checkpoint(file)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"plain text", pickle.dumps([1, 2], 2)])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "other.pth"
    file.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(file)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float):
    whole = weights_file().read_bytes()
    file = tmp_path / "short.pth"
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError):
        load_checkpoint(file)
