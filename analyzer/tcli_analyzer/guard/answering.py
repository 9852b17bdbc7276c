"""The original's side: what it answers to each item alone, and whether it does so twice."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data import DataSource
from tcli_analyzer.guard.accuracy import share
from tcli_analyzer.guard.jobs import FEWEST, AskOriginal, Failed, Original, is_over
from tcli_analyzer.inputs import RandomSource, Source
from tcli_server.proof.opening import OpenedModel
from tcli_server.trial import Item, RunError
from tcli_server.trial.judging import Judge
from tcli_server.trial.rounding import difference, is_real

_ASKED_TWICE = 3


def answer_items(opened: OpenedModel, job: AskOriginal, tell: Callable[[str], None]) -> Original | Failed:
    """Answer items of a source, one at a time, as many as time and memory allow."""
    started = time.monotonic()
    tell("making inputs")
    try:
        requests = _sized(job, opened.config).make(opened.config, 1)[: job.items]
    except Exception as error:  # a source reads what a user gave
        return Failed(f"no inputs could be made: {error}")
    batches = opened.spec.max_batch_size > 0
    items = [{name: array[0] if batches else array for name, array in request.items()} for request in requests]
    tell("answering single items")
    answered: list[tuple[Item, Item]] = []
    refused, refusal, held = 0, "", 0
    for item in items:
        try:
            answer = opened.runner.alone(item)
        except RunError as error:
            refused, refusal = refused + 1, refusal or str(error)
            continue
        answered.append((item, answer))
        held += sum(array.nbytes for array in (*item.values(), *answer.values()))
        is_full = len(answered) >= FEWEST and held * (1 + 1 / len(answered)) > job.most_bytes
        if is_full or is_over(len(answered), job.least, time.monotonic() - started, job.seconds):
            break
    if not answered:
        many = f"none of {len(items)} inputs" if items else "nothing, as there are no inputs"
        return Failed(
            f"the original answers {many}: {refusal}; fix: give its real shape by --shape, or real inputs"
            if refusal
            else f"the original answers {many}"
        )
    tell("answering items again")
    labelled = frozenset(output.name for output in opened.config.output if output.label_filename)
    try:
        restless = _restless(opened, answered)
    except RunError as error:
        return Failed(f"the original does not answer an input every time: {error}")
    return Original(answered, labelled, restless, refused, refusal)


def _sized(job: AskOriginal, config: ModelConfig) -> Source:
    """The source; of random inputs, which there may be any number of, as many as are wanted and bearable."""
    source = job.source
    if not isinstance(source, RandomSource | DataSource) or (isinstance(source, DataSource) and source.given):
        return source
    one = replace(source, count=1).make(config, 1)[0]
    bearable = job.most_bytes // max(1, sum(array.nbytes for array in one.values()))
    return replace(source, count=max(FEWEST, min(job.items, bearable)))


def _restless(opened: OpenedModel, answered: Sequence[tuple[Item, Item]]) -> dict[str, str]:
    """The outputs that differ from run to run, with how they do."""
    expected = [answer for _, answer in answered]
    found: dict[str, str] = {}
    for item, answer in answered[:_ASKED_TWICE]:
        again = opened.runner.alone(item)
        for name in Judge.different(expected, answer, again):
            found.setdefault(name, _words(name, answer, again))
    return found


def _words(name: str, answer: Item, again: Item) -> str:
    if name not in again or again[name].shape != answer[name].shape:
        return "gives another shape"
    if not is_real(answer[name].dtype):
        return "gives other values"
    return f"differs by {share(difference(again[name], answer[name]))} of the largest value"
