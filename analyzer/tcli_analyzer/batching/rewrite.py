"""From a model file to a batchable copy of it, edited and checked."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from tcli_analyzer.batching.graph_edit import make_dynamic
from tcli_analyzer.batching.not_batchable import NotBatchableError
from tcli_server.backends.onnxruntime.batch_proof import check_batching
from tcli_server.trial import Verdict


@dataclass(frozen=True)
class BatchableModel:
    """A model file that takes any batch size.

    Attributes:
        path: the copy.
        edits: what differs from the original, one phrase each; empty if its batch dimension was variable already.
        check: how it was checked.
    """

    path: Path
    edits: tuple[str, ...]
    check: Verdict


def make_batchable(source: Path, folder: Path, shapes: Mapping[str, Sequence[int]]) -> BatchableModel:
    """Write a copy of an ONNX file that takes batches, and check that a batch of n equals n batches of 1.

    Args:
        source: the model file; never changed. Files beside it (external weights) are copied along.
        folder: an existing, empty folder for the copy, which keeps its file name.
        shapes: shape of each input without the batch dimension, for the check; -1 for any size.

    Raises:
        NotBatchableError: it cannot be done; the message says why. `folder` is to be thrown away.
    """
    try:
        model = onnx.load(source, load_external_data=False)
    except Exception as error:
        raise NotBatchableError(f"{source.name} cannot be read as ONNX: {error}") from None
    edits = make_dynamic(model)
    for sibling in source.parent.iterdir():
        if sibling.is_file() and sibling.name != source.name:
            link_or_copy(sibling, folder / sibling.name)
    path = folder / source.name
    path.write_bytes(model.SerializeToString())
    del model
    check = check_batching(source, path, shapes)
    if check.outcome != "ok":
        raise NotBatchableError(check.reason)
    return BatchableModel(path, tuple(edits), check)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system allows it, else a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)
