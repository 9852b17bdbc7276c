"""A scheduler of sequences over instances that remember what they were given."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from scheduled import Answers, no_other
from tcli_server.backends import Placement
from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.choose import scheduler_for
from tcli_server.signature import ModelSignature
from tcli_server.spec import read_spec
from waiting import until

CONFIG = """
name: "m" max_batch_size: 4
input {{ name: "X" data_type: TYPE_FP32 dims: [ {dims} ] }}
output {{ name: "Y" data_type: TYPE_FP32 dims: [ {dims} ] }}
sequence_batching {{
  max_sequence_idle_microseconds: 3600000000 {more}
  control_input {{ name: "START" control {{ kind: CONTROL_SEQUENCE_START bool_false_true: [ false, true ] }} }}
  control_input {{ name: "READY" control {{ kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] }} }}
  control_input {{ name: "ID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING }} }}
}}
"""
Row = tuple[str, bool, bool, float]


class Recording:
    """Answers its input, and remembers the rows of each batch: id, START, READY and the first value."""

    signature = ModelSignature((), ())
    steady = True
    lanes = 1

    def __init__(self) -> None:
        self.batches: list[list[Row]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.closed = threading.Event()
        self.failing = False

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if np.isnan(inputs["X"]).any():
            raise InvalidArgumentError("not a number")
        return inputs

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:  # noqa: ARG002
        columns = [inputs[name][:, 0].tolist() for name in ("ID", "START", "READY", "X")]
        self.batches.append([(i.decode(), start, ready, x) for i, start, ready, x in zip(*columns, strict=True)])
        self.entered.release()
        assert self.gate.wait(60)
        if self.failing:
            raise ValueError("no")
        return [inputs["X"].copy()]

    def close(self) -> None:
        self.closed.set()


class Model:
    """A scheduler over one or more instances."""

    def __init__(self, more: str = "", count: int = 1, dims: int = 1) -> None:
        self.instances = [Recording() for _ in range(count)]
        self.answers = Answers()
        self.statistics = InferenceStatistics()
        config = text_format.Parse(CONFIG.format(more=more, dims=dims), ModelConfig())
        self.placed = [PlacedInstance(Placement(f"m_{i}", None, 1), each) for i, each in enumerate(self.instances)]
        self.scheduler: Scheduler = scheduler_for(
            config, read_spec(config, 1), self.placed, self.statistics, Path(), no_other
        )

    @property
    def batches(self) -> list[list[Row]]:
        return self.instances[0].batches

    def send(
        self,
        sequence: str,
        value: float = 1,
        start: bool = False,
        end: bool = False,
        width: int = 1,
        timeout_us: int = 0,
    ) -> InferenceRequest:
        array = np.full((1, width), value, np.float32)
        request = InferenceRequest(
            "m", {"X": array}, id=sequence, reply=self.answers, sequence_id=sequence, sequence_start=start,
            sequence_end=end, observer=self.statistics, timeout_us=timeout_us,
        )  # fmt: skip
        request.shape_key = (("X", (width,)),)
        assert self.scheduler.submit(request)
        return request

    def held(self, *sequences: str) -> None:
        """Begin sequences, one after the other, and hold the instance in the last batch."""
        for count, sequence in enumerate(sequences, 1):
            self.send(sequence, start=True)
            self.answers.wait(count)
        self.instances[0].gate.clear()
        self.send(sequences[0])
        until(lambda: len(self.batches) == len(sequences) + 1)
        self.batches.clear()

    def go_on(self) -> None:
        for instance in self.instances:
            instance.gate.set()
