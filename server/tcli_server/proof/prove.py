"""Loads a model as a server does, and tries its batches."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Host
from tcli_server.errors import ServerError
from tcli_server.models.draft import BackendConfig
from tcli_server.proof.opening import OpenedModel, opened_model
from tcli_server.repository import ModelFolder
from tcli_server.trial import TrialInput, Verdict, try_batches
from tcli_server.trial.runs import Together
from tcli_server.trial.verdict import unchecked

SIZES = (2, 3, 8)
"""Items of the batches that are tried: the least, an odd number, and as many as processors take side by side."""

SECONDS = 60.0
"""About so long may a model be tried; one that is slow is tried with fewer and smaller batches."""


def prove_batching(
    model: Path | ModelFolder,
    *,
    version: int | None = None,
    config: ModelConfig | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    sizes: Sequence[int] = SIZES,
    seconds: float = SECONDS,
    settings: BackendConfig | None = None,
    host: Host | None = None,
) -> Verdict:
    """Whether a batch of a model gives what its items give alone. Nothing of the model's is changed.

    Args:
        model: its folder in a repository.
        version: to be tried; None for the newest that its configuration serves.
        config: instead of its configuration.
        shapes: input -> shape without the batch dimension; -1, and what is left out, is of any size with which items run.
        sizes: batches to try, in items; those above its max_batch_size are left out.
        seconds: about so long.
        settings: of the backends, as `Draft` takes them.
        host: the server that its requests to other models go to; those fail without one.

    Returns:
        `unchecked` also for what does not load, or has no batches that could be compared.
    """
    folder = model if isinstance(model, ModelFolder) else ModelFolder(model.name, model)
    try:
        with opened_model(folder, version, config, settings, host) as opened:
            if isinstance(opened, Verdict):
                return opened
            verdict = _tried(opened, shapes or {}, sizes, seconds)
            if verdict.outcome != "wrong":
                return verdict
            part = opened.mixing_part(verdict)
            return replace(verdict, reason=f"{verdict.reason}: {part}") if part else verdict
    except ServerError as error:
        return unchecked(f"it does not load: {error}")


def _tried(opened: OpenedModel, shapes: Mapping[str, Sequence[int]], sizes: Sequence[int], seconds: float) -> Verdict:
    limit = opened.spec.max_batch_size
    fitting = [size for size in sizes if size <= limit] or ([limit] if limit > 1 else [])
    if not fitting:
        return Verdict("ok", f"max_batch_size is {limit}: no two items share a batch")
    ways: Mapping[str, Together] = opened.runner.ways
    return try_batches(_shaped(opened.runner.inputs, shapes), opened.runner.alone, ways, fitting, seconds)


def _shaped(inputs: Sequence[TrialInput], shapes: Mapping[str, Sequence[int]]) -> list[TrialInput]:
    return [replace(one, dims=tuple(shapes[one.name])) if one.name in shapes else one for one in inputs]
