"""Runs items on one instance of a model, with what a server forms and divides batches by."""

import queue
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import AnsweringInstance, Instance
from tcli_server.errors import ServerError
from tcli_server.models.validation import validate
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.repository import INITIAL_STATE_FOLDER
from tcli_server.request import InferenceRequest, InferenceResponse, Inputs
from tcli_server.scheduling.choose import executor_for
from tcli_server.scheduling.execution import LOST_BATCH
from tcli_server.scheduling.sequences.controls import Controls
from tcli_server.scheduling.sequences.run import NoStep
from tcli_server.scheduling.sequences.states import States
from tcli_server.spec import ModelSpec
from tcli_server.trial import Item, LostBatchError, RunError, TrialInput
from tcli_server.trial.runs import Together

Examples = Mapping[str, Callable[[np.random.Generator], np.ndarray]]

_LONGEST_ANSWER_SECS = 600.0


class ModelRunner:
    """One instance, asked as a scheduler asks it.

    Args:
        folder: the model's.
        examples: as `Backend.examples`.
    """

    def __init__(
        self, config: ModelConfig, spec: ModelSpec, folder: Path, instance: Instance, examples: Examples
    ) -> None:
        self._examples = examples
        sequences, batches = config.sequence_batching, spec.max_batch_size > 0
        self._spec = spec
        self._batches = batches
        self._is_stateful = config.HasField("sequence_batching")
        self._controls = Controls(sequences, spec.name, (1, 1) if batches else (1,))
        self._states = States(sequences, folder / INITIAL_STATE_FOLDER, batches)
        self._answers_each = isinstance(instance, AnsweringInstance)
        self._statistics = InferenceStatistics()
        self._executor = executor_for(spec, instance, self._statistics, self._states.outputs)

    @property
    def inputs(self) -> list[TrialInput]:
        """What an item has, without the batch dimension."""
        return [
            TrialInput(one.name, one.datatype.name, one.dims, one.ragged, self._examples.get(one.name))
            for one in self._spec.inputs.values()
        ]

    @property
    def ways(self) -> Mapping[str, Together]:
        """How items may come to share a batch: in one request, or in a request each."""
        if self._is_stateful or self._spec.ragged:
            return {"": self._in_requests}
        if self._answers_each:  # it sees the requests that a batch is made of
            return {" requests": self._in_requests, " in one request": self._in_one}
        return {"": self._in_one}

    def alone(self, item: Item) -> Item:
        """Run one item.

        Raises:
            RunError: it fails.
        """
        return self._in_requests([item])[0]

    def _in_one(self, items: Sequence[Item]) -> list[Item]:
        joined = {name: np.stack([item[name] for item in items]) for name in items[0]}
        (outputs,) = self._run([InferenceRequest(self._spec.name, joined)])
        for name, array in outputs.items():
            if not array.shape or array.shape[0] != len(items):
                raise LostBatchError(f"output '{name}' has shape {list(array.shape)} for {len(items)} items")
        return [{name: array[row] for name, array in outputs.items()} for row in range(len(items))]

    def _in_requests(self, items: Sequence[Item]) -> list[Item]:
        before = self._statistics.execution_count
        answers = self._run([self._request(item) for item in items])
        if self._statistics.execution_count - before > 1 and not self._answers_each:
            raise RunError("the model fails on it, so a server runs each request alone")
        if not self._batches:
            return answers
        lost = next((name for name, array in answers[0].items() if array.shape[:1] != (1,)), None)
        if lost is not None:
            raise LostBatchError(f"output '{lost}' has shape {list(answers[0][lost].shape)} for one item")
        return [{name: array[0] for name, array in outputs.items()} for outputs in answers]

    def _request(self, item: Item) -> InferenceRequest:
        given: Inputs = {name: array[np.newaxis] if self._batches else array for name, array in item.items()}
        request = InferenceRequest(self._spec.name, given)
        if self._is_stateful:  # the first and the last one of its sequence
            whole = InferenceRequest("", {}, sequence_id=self._controls.any_id, sequence_start=True, sequence_end=True)
            request.step = NoStep({**given, **self._controls.of(whole), **self._states.initial})
        return request

    def _run(self, requests: Sequence[InferenceRequest]) -> list[Item]:
        """The outputs of each request of one batch.

        Raises:
            RunError: a request fails.
        """
        answers: dict[int, InferenceResponse | ServerError] = {}
        late: queue.SimpleQueue[tuple[int, InferenceResponse]] = queue.SimpleQueue()
        for place, request in enumerate(requests):
            request.reply = lambda response, place=place: late.put((place, response))  # type: ignore[misc]
            try:
                validate(request, self._spec)
            except ServerError as error:
                raise RunError(_plain(error)) from None
        places = {id(request): place for place, request in enumerate(requests)}
        for request, result in self._executor.run(requests):
            answers[places[id(request)]] = result
        while len(answers) < len(requests):  # the model answers these later
            try:
                place, response = late.get(timeout=_LONGEST_ANSWER_SECS)
            except queue.Empty:
                raise RunError(f"no answer in {_LONGEST_ANSWER_SECS:.0f} seconds") from None
            answers[place] = response.error or response
        return [self._outputs(answers[place]) for place in range(len(requests))]

    def _outputs(self, answer: InferenceResponse | ServerError) -> Item:
        error = answer.error if isinstance(answer, InferenceResponse) else answer
        if error is not None:
            kind = LostBatchError if LOST_BATCH in str(error) else RunError
            raise kind(_plain(error))
        assert isinstance(answer, InferenceResponse)
        return {name: np.array(array) for name, array in answer.outputs.items()}  # a copy: memory may be lent


def _plain(error: ServerError) -> str:
    """A message without what only says which request it was."""
    return " ".join(str(error).removeprefix("[request id: <id_unknown>] ").split())
