"""Random lives of many sequences at once on a real model, each answer checked by who asked."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from repositories import write_model
from sequence_models import sums, sums_config
from tcli_server import Engine, EngineOptions, InferenceRequest, InferenceResponse
from tcli_server.errors import CancelledError, ServerError
from waiting import until

STRATEGIES = {
    "direct": "",
    "direct that waits": "direct { minimum_slot_utilization: 0.8 max_queue_delay_microseconds: 500 }",
    "oldest": "oldest { max_candidate_sequences: 6 max_queue_delay_microseconds: 300 }",
}
IDLE = "max_sequence_idle_microseconds: 20000"
LOST = ("must specify the START flag", "client of its sequence is gone", "Request was cancelled")


class Client:
    """Sends sequences, cancels some, leaves some open, and checks the sums."""

    def __init__(self, engine: Engine, number: int, rounds: int) -> None:
        self._engine = engine
        self._number = number
        self._rounds = rounds
        self._dice = random.Random(number)
        self.wrong: list[str] = []
        self.checked = 0

    def run(self) -> None:
        for _ in range(self._rounds):
            self._sequence()

    def _sequence(self) -> None:
        """Several requests at once, whose answers say after which of the others they came."""
        length, total = self._dice.randint(1, 6), 0
        sent: list[tuple[int, threading.Event, list[InferenceResponse]]] = []
        for index in range(length):
            value = self._dice.randrange(1000)
            total += value
            answered, answers = threading.Event(), []

            def reply(response: InferenceResponse, answered=answered, answers=answers) -> None:
                answers.append(response)
                answered.set()

            request = InferenceRequest(
                "sums", {"INPUT": np.full((1, 1), value, np.int32)}, reply=reply, sequence_id=self._number,
                sequence_start=index == 0, sequence_end=index == length - 1 and self._dice.random() < 0.8,
            )  # fmt: skip
            self._engine.submit(request)
            sent.append((total, answered, answers))
            if self._dice.random() < 0.05:
                request.cancel()
            elif self._dice.random() < 0.02:
                self._engine.abandon_sequence("sums", "", self._number)
            elif self._dice.random() < 0.3:
                answered.wait(60)
        lost = False
        for expected, answered, answers in sent:
            if not answered.wait(60):
                self.wrong.append("no answer")
                return
            (answer,) = answers
            if answer.error is not None:
                lost = True
                if not isinstance(answer.error, CancelledError) and not any(text in str(answer.error) for text in LOST):
                    self.wrong.append(str(answer.error))
            elif lost:
                self.wrong.append("an answer after the sequence was lost")
            elif (found := int(answer.outputs["OUTPUT"].item())) != expected:
                self.wrong.append(f"{found} instead of {expected}")
            elif (seen := answer.outputs["SEEN"].ravel().tolist())[2:] != [1, self._number]:
                self.wrong.append(f"{seen} of {self._number}")
            else:
                self.checked += 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sequences_never_mix_whatever_happens(tmp_path: Path, strategy: str):
    """Instances come and go, and the model is loaded anew, in the middle of it all."""

    def configure(count: int, more: str = "") -> None:
        write_model(tmp_path, "sums", sums(), sums_config(f"{STRATEGIES[strategy]} {IDLE}", count=count) + more)

    configure(2)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        engine.load("sums")
        clients = [Client(engine, number, 25) for number in range(1, 25)]
        with ThreadPoolExecutor(25) as pool:
            running = [pool.submit(client.run) for client in clients]
            dice, changes = random.Random(0), 0
            while not all(done.done() for done in running):
                changes += 1
                again = (
                    f'parameters {{ key: "n" value {{ string_value: "{changes}" }} }}' if dice.random() < 0.2 else ""
                )
                configure(dice.randint(1, 3), again)
                engine.load("sums")
            for done in running:
                done.result()
        assert [wrong for client in clients for wrong in client.wrong] == []
        assert sum(client.checked for client in clients) > 300
        model = engine.model("sums")
        until(lambda: model.idle and model.pending == 0 and not model._scheduler._runs)
        scheduler = model._scheduler
        assert (scheduler._waiting, scheduler._running, len(scheduler._resting)) == (0, 0, 0)
        slots = scheduler._size * sum(not seat.worker.retired for seat in scheduler._seats)
        assert len(scheduler._free) == slots
        assert not any(run.requests for run in scheduler._backlog)
        assert engine._pending.held == 0
        with pytest.raises(ServerError, match="START"):
            engine.infer("sums", {"INPUT": np.ones((1, 1), np.int32)}, sequence_id=1)
    assert not any(thread.name.startswith("sums") for thread in threading.enumerate())
