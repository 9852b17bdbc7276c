"""`model_warmup`: requests that every instance runs before its model is READY, as first runs are often slow.

Source: `WarmupData` in Triton's core (backend_model_instance.cc). Two departures: random data are values that a model can
take, not random bytes; and an instance that runs several batches side by side runs them on each of its lanes.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelWarmup
from tritonclient.utils import deserialize_bytes_tensor

from tcli_server.backends import Instance
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.errors import InvalidArgumentError, ServerError
from tcli_server.models.validation import validate
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.random_tensor import random_tensor
from tcli_server.repository import INITIAL_STATE_FOLDER, WARMUP_FOLDER
from tcli_server.request import InferenceRequest, Inputs
from tcli_server.scheduling.choose import executor_for
from tcli_server.scheduling.sequences.controls import Controls
from tcli_server.scheduling.sequences.run import NoStep
from tcli_server.scheduling.sequences.states import States
from tcli_server.spec import ModelSpec


def warm_up(config: ModelConfig, spec: ModelSpec, folder: Path, instance: Instance) -> None:
    """Run all samples of a complete configuration on one instance, on all of its lanes at a time; nothing is counted.

    Args:
        folder: the model's.

    Raises:
        InvalidArgumentError: a sample cannot be made, or the model fails on it; says which.
    """
    for index, sample in enumerate(config.model_warmup):
        if not sample.batch_size:  # as Triton, which says nothing
            LOG.warning(
                "'%s' has a warm-up sample '%s' with batch_size 0, which never runs: write 1",
                spec.name,
                sample.name or str(index),
            )
    if instance.lanes == 1:
        _warm_lane(config, spec, folder, instance)
        return
    with ThreadPoolExecutor(instance.lanes, f"{spec.name} warm-up") as lanes:
        for lane in [lanes.submit(_warm_lane, config, spec, folder, instance) for _ in range(instance.lanes)]:
            lane.result()


def _warm_lane(config: ModelConfig, spec: ModelSpec, folder: Path, instance: Instance) -> None:
    maker = _Maker(config, spec, folder)
    executor = executor_for(spec, instance, InferenceStatistics(), maker.states.outputs)
    for index, sample in enumerate(config.model_warmup):
        name = sample.name or str(index)
        start = time.monotonic()
        try:
            for _ in range(max(1, sample.count)):
                for batch in maker.batches(sample):
                    for _, result in executor.run(batch):
                        if isinstance(result, ServerError):
                            raise result
        except ServerError as error:
            raise InvalidArgumentError(f"model_warmup sample '{name}' of model '{spec.name}': {error}") from None
        LOG.debug("'%s' ran its warm-up sample '%s' in %.3f s", spec.name, name, time.monotonic() - start)


class _Maker:
    """Makes the requests of samples."""

    def __init__(self, config: ModelConfig, spec: ModelSpec, folder: Path) -> None:
        batches = spec.max_batch_size > 0
        sequences = config.sequence_batching
        self._spec = spec
        self._folder = folder / WARMUP_FOLDER
        self._random = np.random.default_rng(0)
        self._is_stateful = config.HasField("sequence_batching")
        self._controls = Controls(sequences, spec.name, (1, 1) if batches else (1,))
        self.states = States(sequences, folder / INITIAL_STATE_FOLDER, batches)

    def batches(self, sample: ModelWarmup) -> Iterator[Sequence[InferenceRequest]]:
        """`batch_size` requests of one item each, as many together as the model takes; none for a batch size of 0."""
        limit = max(1, self._spec.max_batch_size)
        for start in range(0, sample.batch_size, limit):
            yield [self._request(sample) for _ in range(min(limit, sample.batch_size - start))]

    def _request(self, sample: ModelWarmup) -> InferenceRequest:
        extra = self._extra()
        given: Inputs = {}
        for name, source in sorted(sample.inputs.items()):
            array = self._tensor(name, source)
            if name in extra:
                extra[name] = array.reshape(extra[name].shape)
            else:
                given[name] = array[np.newaxis] if self._spec.max_batch_size else array
        request = InferenceRequest(self._spec.name, given)
        validate(request, self._spec)
        if self._is_stateful:
            request.step = NoStep({**given, **extra})
        return request

    def _extra(self) -> Inputs:
        """What a sequence adds to a request that is its first and its last."""
        if not self._is_stateful:
            return {}
        whole = InferenceRequest("", {}, sequence_id=self._controls.any_id, sequence_start=True, sequence_end=True)
        return {**self._controls.of(whole), **self.states.initial}

    def _tensor(self, name: str, source: ModelWarmup.Input) -> np.ndarray:
        kind, dims = BY_CONFIG_TYPE[source.data_type], tuple(source.dims)
        if source.input_data_file:
            return self._from_file(name, source)
        if kind.size and source.random_data:
            return random_tensor(kind.name, dims, self._random)
        return np.zeros(dims, kind.dtype) if kind.size else np.full(dims, b"", np.object_)

    def _from_file(self, name: str, source: ModelWarmup.Input) -> np.ndarray:
        kind, dims = BY_CONFIG_TYPE[source.data_type], tuple(source.dims)
        path, count = self._folder / source.input_data_file, int(np.prod(dims))
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InvalidArgumentError(f"input '{name}': {path} cannot be read ({error.strerror})") from None
        if kind.size:
            if len(data) < count * kind.size:
                raise InvalidArgumentError(
                    f"input '{name}': {path} has {len(data)} bytes, expected {count * kind.size} for {list(dims)}"
                )
            return np.frombuffer(data, kind.dtype, count).reshape(dims)
        try:
            elements = deserialize_bytes_tensor(data)
        except Exception as error:  # whatever the file holds instead
            raise InvalidArgumentError(f"input '{name}': {path} is no serialised string tensor ({error})") from None
        if len(elements) < count:
            raise InvalidArgumentError(f"input '{name}': {path} has {len(elements)} strings, expected {count}")
        array = np.empty(count, np.object_)
        array[:] = elements[:count]
        return array.reshape(dims)
