"""Which status an error is answered with, as Triton's HTTP server maps them."""

import json

import pytest

from tcli_server.errors import ErrorKind, ServerError
from tcli_server.protocols.http.errors import error_body, status_and_body


@pytest.mark.parametrize(("kind", "status"), [
    ("INVALID_ARG", 400), ("ALREADY_EXISTS", 400), ("CANCELLED", 400), ("UNKNOWN", 400), ("NOT_FOUND", 404), ("INTERNAL", 500),
    ("UNSUPPORTED", 501), ("UNAVAILABLE", 503),
])  # fmt: skip
def test_every_kind_has_its_status(kind: str, status: int):
    error = ServerError("why")
    error.kind = ErrorKind[kind]
    answered, body = status_and_body(error)
    assert (answered, json.loads(body)) == (status, {"error": "why"})


def test_an_endless_message_is_cut():
    assert json.loads(error_body("x" * 10_000)) == {"error": "x" * 10_000}
    assert json.loads(error_body("x" * 10_001)) == {"error": "x" * 10_000 + "... (10001 characters)"}
