"""Requests that are decoded together: the broken one fails alone, and nothing is decoded twice."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from image_models import pictures
from picture_bytes import USUAL
from tcli_client import Inference, InvalidRequestError, Transport

GOOD = [USUAL[name] for name in ("jpeg", "png", "webp", "jpeg-cmyk", "png-alpha")]


def test_the_broken_one_fails_alone(transport: Transport):
    """8 rows of 7 requests make the batch that the model waits for; a request of two rows is among them."""
    alone = [transport.infer(Inference("plain", {"IMAGE": pictures(content)})).outputs["PIXELS"] for content in GOOD]
    before = transport.statistics("together")[0]
    requests = [pictures(content) for content in GOOD]
    requests.insert(2, pictures(GOOD[0][: len(GOOD[0]) // 2]))
    requests.append(pictures(GOOD[0], b"no picture"))

    def ask(array: np.ndarray) -> np.ndarray | InvalidRequestError:
        try:
            return transport.infer(Inference("together", {"IMAGE": array})).outputs["PIXELS"]
        except InvalidRequestError as refusal:
            return refusal

    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(ask, requests))
    cut, two = answers.pop(2), answers.pop()
    assert isinstance(cut, InvalidRequestError)
    assert "truncated" in str(cut)
    assert "item" not in str(cut)
    assert isinstance(two, InvalidRequestError)
    assert "item 1 of 2: not a picture: it is a text" in str(two)
    for answer, expected in zip(answers, alone, strict=True):
        assert np.array_equal(answer, expected)
    after = transport.statistics("together")[0]
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.success.count - before.inference_stats.success.count == len(GOOD)
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 2
