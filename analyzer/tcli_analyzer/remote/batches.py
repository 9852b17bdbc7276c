"""Whether a batch of what is loaded on a server gives what its items give alone."""

from collections.abc import Mapping, Sequence

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_client import AnswerError, Inference, Transport
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.proof import SIZES
from tcli_server.trial import Item, LostBatchError, RunError, TrialInput, Verdict, try_batches
from tcli_server.trial.verdict import unchecked

_SECONDS = 30.0


def check_batches(server: Transport, config: ModelConfig, shapes: Mapping[str, Sequence[int]]) -> Verdict:
    """Send items alone and together, and compare.

    Args:
        config: complete configuration of what is loaded, with `max_batch_size` > 0.
        shapes: of each input, without the batch dimension.

    Raises:
        ClientError: there is no answer.
    """
    reason = _without_comparison(config)
    if reason:
        return unchecked(reason)
    limit = config.max_batch_size
    sizes = [size for size in SIZES if size <= limit] or ([limit] if limit > 1 else [])
    if not sizes:
        return Verdict("ok", f"max_batch_size is {limit}: no two items share a batch")
    asked = _Asked(server, config.name)
    inputs = [TrialInput(one.name, BY_CONFIG_TYPE[one.data_type].name, tuple(shapes[one.name])) for one in config.input]
    return try_batches(inputs, asked.alone, {"": asked.together}, sizes, _SECONDS)


def _without_comparison(config: ModelConfig) -> str:
    """Why there are no batches that can be compared; empty where there are."""
    if config.model_transaction_policy.decoupled:
        return "it is decoupled: it answers each request as often as it likes"
    if config.HasField("sequence_batching"):
        return "it keeps state, and requests of a server's sequences are not compared"
    if config.batch_input or config.batch_output or any(one.allow_ragged_batch for one in config.input):
        return "it has batches of its own kind (allow_ragged_batch, batch_input, batch_output)"
    return ""


class _Asked:
    """The model, asked with items."""

    def __init__(self, server: Transport, model: str) -> None:
        self._server = server
        self._model = model

    def alone(self, item: Item) -> Item:
        return self.together([item])[0]

    def together(self, items: Sequence[Item]) -> Sequence[Item]:
        joined = {name: np.stack([item[name] for item in items]) for name in items[0]}
        try:
            outputs = self._server.infer(Inference(self._model, joined)).outputs
        except AnswerError as error:
            raise RunError(str(error)) from None
        for name, array in outputs.items():
            if array.shape[:1] != (len(items),):
                raise LostBatchError(f"output '{name}' has shape {list(array.shape)} for {len(items)} items")
        return [{name: array[row] for name, array in outputs.items()} for row in range(len(items))]
