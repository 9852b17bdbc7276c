"""Proves on numbers that batches of one ONNX file give what single items of another one give."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tcli_server.backends.onnxruntime.file_runner import FileRunner
from tcli_server.backends.onnxruntime.mixing import mixing_node
from tcli_server.trial import RunError, Verdict, try_batches
from tcli_server.trial.verdict import unchecked


def check_batching(
    original: Path, candidate: Path, shapes: Mapping[str, Sequence[int]], sizes: Sequence[int] = (1, 2, 3, 8)
) -> Verdict:
    """Compare batches run by `candidate` with single items run by `original`, on random inputs.

    Args:
        shapes: shape of each input without the batch dimension; for -1 a size is taken with which an item runs.
        sizes: batches to try, in items.

    Returns:
        Of a wrong batch, the node that fails or mixes items is named where it can be found.
    """
    try:
        single, batched = FileRunner(original), FileRunner(candidate)
        verdict = try_batches(single.inputs(shapes), single.alone, {"": batched.together}, sizes)
    except RunError as error:
        return unchecked(str(error))
    node = mixing_node(candidate, dict(verdict.shapes)) if verdict.outcome == "wrong" and verdict.shapes else ""
    return replace(verdict, reason=f"{verdict.reason}: {node}") if node else verdict
