"""A short run of seeded requests to generate against a real server: every one is answered, and with a fitting status."""

import http.client
import json
import logging
import os
from itertools import islice

import pytest

from fuzz.generate_bodies import generate_bodies
from fuzz.seeds import seeds
from tcli_server.serving import Server

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1800")) // 3
MISTAKES_THAT_TRITON_ANSWERS_WITH_500 = (
    "failed to parse the request JSON buffer",
    "Unable to parse '",
    "Expected JSON object for keyword",
    "Shape does not match true shape of 'data' field",
    "Failed to parse 'data' field",
)


@pytest.mark.parametrize("seed", seeds(3))
def test_every_request_is_answered_with_a_fitting_status(server: Server, seed: int, caplog: pytest.LogCaptureFixture):
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    answered = set()
    with caplog.at_level(logging.ERROR, "tcli_server"):
        for number, request in enumerate(islice(generate_bodies(seed), REQUESTS)):
            kind = "generate_stream" if request.streamed else "generate"
            connection.request("POST", f"/v2/models/{request.model}/{kind}", request.body)
            response = connection.getresponse()
            content = response.read()
            answered.add(response.status)
            said = (number, response.status, request.body[:500], content[:300])
            if response.status == 200:
                text = content.removeprefix(b"data: ").removesuffix(b"\n\n") if request.streamed else content
                assert "OUTPUT0" in json.loads(text), said
            assert response.status in ((200,) if request.valid else (200, 400, 500)), said
            if response.status == 500:
                error = json.loads(content)["error"].removeprefix("Converting keyword: 'parameters': ")
                assert error.startswith(MISTAKES_THAT_TRITON_ANSWERS_WITH_500), said
    assert answered == {200, 400, 500}
    assert not [record for record in caplog.records if record.exc_info]
    connection.request("GET", "/v2/health/ready")
    assert connection.getresponse().status == 200
