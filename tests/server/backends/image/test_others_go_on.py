"""A large picture keeps nobody else from the server while it is decoded."""

import pytest
from PIL import Image

from image_models import pictures
from loop_stall import longest_stall
from picture_bytes import encoded
from tcli_client import Inference, connect
from tcli_server.serving import Server

LONGEST_STALL = 1.5
"""Seconds; as of other requests that are made to do harm. Slow machines are no reason to fail."""

SIDE = 8000


def large(kind: str) -> bytes:
    if kind == "jpeg":
        return encoded(Image.new("RGB", (SIDE, SIDE), "red"), "JPEG")
    if kind == "progressive":
        return encoded(Image.new("L", (SIDE, SIDE)), "JPEG", progressive=True)
    if kind == "webp":
        return encoded(Image.new("RGB", (SIDE, SIDE), "red"), "WEBP", method=0)
    return encoded(Image.new("P", (SIDE, SIDE)), "PNG", transparency=0)


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "transparent", "webp"])
def test_the_loop_is_not_held_up(image_server: Server, kind: str):
    content = large(kind)
    with connect(f"http://127.0.0.1:{image_server.http_port}") as server:
        stall = longest_stall(image_server, lambda: server.infer(Inference("plain", {"IMAGE": pictures(content)})))
    assert stall < LONGEST_STALL
