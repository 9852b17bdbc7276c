"""What a model answers stays as it was, although the memory that its inputs were in is used again."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from scheduled import Answers, Doubling, request, scheduler, submit_all, waiting_for

WIDTH = 1 << 17
"""Elements: a batch of them is joined in memory that is used for the next batch, too."""

ALIASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "its input": lambda array: array,
    "a view of it": lambda array: array[:, ::-1],
    "its memory under another type": lambda array: array.view(np.uint32).view(np.float32),
    "a view by the buffer protocol": lambda array: np.frombuffer(memoryview(array), np.float32).reshape(array.shape),
}


@pytest.mark.parametrize("alias", ALIASES)
def test_a_model_may_return_what_it_was_lent(alias: str):
    places: list[int] = []

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        places.append(inputs["X"].__array_interface__["data"][0])
        return ALIASES[alias](inputs["X"])

    batcher, answers = scheduler(waiting_for(2), Doubling(run)), Answers()
    for first in range(0, 6, 2):
        submit_all(batcher, [request(value, width=WIDTH) for value in (first, first + 1)], answers)
        answers.wait(first + 2)
    assert len(set(places)) == 1  # else nothing was used again
    for response in answers.responses:
        assert np.all(response.outputs["Y"] == float(response.id))


def test_an_answer_is_not_its_callers_memory():
    batcher, answers = scheduler("max_batch_size: 8", Doubling(lambda inputs: inputs["X"])), Answers()
    asked = request(5, width=WIDTH)
    sent = asked.inputs["X"]
    submit_all(batcher, [asked], answers)
    (response,) = answers.wait(1)
    sent[:] = 0
    assert np.all(response.outputs["Y"] == 5)
