"""What an analysis needs to know of a model that is on a server: all that the server tells, and what trying it shows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.remote import RemoteBench
from tcli_analyzer.configuration import (
    Configuration,
    has_one_item_shapes,
    instance_count,
    label_of,
    split_batch_dimension,
    vary,
)
from tcli_analyzer.inputs import resolve_shapes
from tcli_analyzer.remote.errors import RemoteError
from tcli_analyzer.remote.mark import unmarked
from tcli_analyzer.subject import NotAnalyzableError, Subject, check_one_answer
from tcli_server.proof import SIZES, Verdict
from tcli_server.repository import ModelFolder

_NOT_SPLIT = "a tensor's shape in the configuration does not start with a dimension of 1 or -1"


def examine_remote(bench: RemoteBench, shapes: Mapping[str, Sequence[int]], note: Callable[[str], None]) -> Subject:
    """Ask the server what the model is, and try on random items what its batches give.

    For the latter the model is loaded in a configuration that batches, if the bench may do that; its file is not changed, so
    one whose batch size is fixed in the file gets none.

    Args:
        bench: entered.
        shapes: given by the user for inputs with variable dimensions.
        note: told about slow steps.

    Returns:
        Of its `folder`, which is out of reach, only the name says anything.

    Raises:
        NotAnalyzableError: it is of a kind that has nothing to vary.
        UnknownInputError: `shapes` does not fit the model.
        RemoteError, Stopped: as `RemoteBench.visit`.
    """
    complete = bench.complete
    check_one_answer(complete)
    if complete.HasField("ensemble_scheduling") and not bench.as_is:
        steps = ", ".join(dict.fromkeys(step.model_name for step in complete.ensemble_scheduling.step))
        raise NotAnalyzableError(
            f"'{bench.model}' is an ensemble, which has no batch size and instances of its own",
            f"analyze the models that it is made of: {steps}; or measure it without changes: --as-is",
        )
    resolved, guessed = resolve_shapes(complete, shapes)
    base, reason, verdict = complete, "", None
    if complete.max_batch_size:
        note("checking on random items that a batch gives what single items give ...")
        verdict = _tried(bench, complete, resolved)
    elif bench.as_is:
        reason = "its max_batch_size is 0, and nothing is changed on the server (--as-is)"
    elif not has_one_item_shapes(complete):
        reason = _NOT_SPLIT
    else:
        note("max_batch_size is 0: trying whether the model takes batches all the same ...")
        split = split_batch_dimension(complete)
        verdict = _larger(bench, split, _last_dims(split, resolved))
        if verdict is not None and verdict.outcome == "ok":
            base = split
        else:
            why = verdict.reason if verdict is not None else "the server does not load it with a larger one"
            reason = f"its max_batch_size is 0, its file on the server is not changed, and as it is: {why}"
            verdict = None
    instances = instance_count(complete)
    current = Configuration(
        f"current ({label_of(complete.max_batch_size, instances)})",
        complete.max_batch_size,
        instances,
        complete,
        current=True,
        wrong_batches=verdict is not None and verdict.outcome == "wrong" and complete.max_batch_size > 1,
    )
    folder = ModelFolder(bench.model, Path(bench.model))
    return Subject(folder, complete, base, current, resolved, tuple(guessed), None, reason, verdict)


def _tried(bench: RemoteBench, complete: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> Verdict:
    """Compare batches with single items, those that the configuration does not allow as well."""
    if complete.max_batch_size < max(SIZES) and not bench.as_is:
        verdict = _larger(bench, complete, shapes)
        if verdict is not None and verdict.outcome != "unchecked":
            return verdict
    try:
        return bench.check_batches(_as_it_is(complete), shapes)
    except CannotMeasureError as error:
        raise RemoteError(
            f"'{bench.model}' at {bench.address} cannot be asked: {error}", "see the server's log, and try again"
        ) from None


def _larger(bench: RemoteBench, base: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> Verdict | None:
    """As `check_batches`, with as many items in a batch as are tried; None where the server does not take that."""
    size = max(SIZES)
    try:
        return bench.check_batches(Configuration(f"batches of {size}", size, 1, vary(base, size, 1)), shapes)
    except CannotMeasureError:
        return None


def _as_it_is(complete: ModelConfig) -> Configuration:
    return Configuration(
        "as it is", complete.max_batch_size, instance_count(complete), unmarked(complete), current=True
    )


def _last_dims(config: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {tensor.name: shapes[tensor.name][-len(tensor.dims) :] for tensor in config.input}
