"""Pictures that are none, or that somebody made to do harm: refused by what they are, and nothing else suffers."""

import contextlib

import httpx
import numpy as np
import pytest

from image_models import pictures
from picture_bytes import HOSTILE, USUAL
from tcli_client import Inference, InvalidRequestError, Transport
from tcli_server.serving import Server

GOOD = USUAL["jpeg"]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_told_what_it_is(transport: Transport, name: str):
    content, words = HOSTILE[name]
    with pytest.raises(InvalidRequestError) as refusal:
        transport.infer(Inference("plain", {"IMAGE": pictures(content)}))
    assert words in str(refusal.value)
    assert refusal.value.status in ("400", "INVALID_ARGUMENT")
    assert transport.infer(Inference("plain", {"IMAGE": pictures(GOOD)})).outputs["PIXELS"].shape == (1, 3, 32, 48)


def test_a_raw_request_is_the_file_and_nothing_else(image_server: Server):
    for model, batch in (("plain", [1]), ("single", [])):
        url = f"http://127.0.0.1:{image_server.http_port}/v2/models/{model}/infer"
        headers = {"Inference-Header-Content-Length": "0"}
        answer = httpx.post(url, content=GOOD, headers=headers)
        size = int(answer.headers["Inference-Header-Content-Length"])
        assert answer.status_code == 200
        assert np.frombuffer(answer.content[size:], np.float32).size == 3 * 32 * 48
        assert f'"shape":{[*batch, 3, 32, 48]}'.replace(" ", "") in answer.content[:size].decode()
        refused = httpx.post(url, content=b"GIF89a and more", headers=headers)
        assert refused.status_code == 400
        assert "GIF pictures are not read" in refused.json()["error"]
        empty = httpx.post(url, content=b"", headers=headers)
        assert empty.status_code == 400


def test_the_broken_one_of_a_request_is_named(transport: Transport):
    with pytest.raises(InvalidRequestError, match="item 1 of 3: not a picture: it is a text"):
        transport.infer(Inference("plain", {"IMAGE": pictures(GOOD, b"no picture", b"")}))


@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
def test_any_cut_or_flipped_byte_harms_nobody_else(transport: Transport, name: str):
    """Whatever a decoder makes of a damaged file, the answer is pixels or a reason, and the next one is served."""
    whole, random = USUAL[name], np.random.default_rng(7)
    for _ in range(60):
        broken = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            broken[place] = random.integers(256)
        content = bytes(broken[: random.integers(1, len(whole))]) if random.random() < 0.3 else bytes(broken)
        with contextlib.suppress(InvalidRequestError):  # and no other error
            answer = transport.infer(Inference("plain", {"IMAGE": pictures(content)}))
            assert answer.outputs["PIXELS"].shape == (1, 3, 32, 48)
    good = transport.infer(Inference("plain", {"IMAGE": pictures(GOOD)})).outputs["PIXELS"]
    assert np.array_equal(good, transport.infer(Inference("plain", {"IMAGE": pictures(GOOD)})).outputs["PIXELS"])
