"""A short run of seeded inference requests against a real server: every one is answered, and with a fitting status."""

import http.client
import json
import logging
import os
from itertools import islice

import pytest

from fuzz.infer_bodies import infer_bodies
from fuzz.seeds import seeds
from tcli_server.serving import Server

MISTAKES_THAT_TRITON_ANSWERS_WITH_500 = (
    "failed to parse the request JSON buffer",
    "Unable to parse '",
    "Shape does not match true shape of 'data' field",
    "Failed to parse 'data' field",
)
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1800")) // 3


@pytest.mark.parametrize("seed", seeds(3))
def test_every_request_is_answered_with_a_fitting_status(server: Server, seed: int, caplog: pytest.LogCaptureFixture):
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    answered = set()
    with caplog.at_level(logging.ERROR, "tcli_server"):
        for number, request in enumerate(islice(infer_bodies(seed), REQUESTS)):
            connection.request("POST", f"/v2/models/{request.model}/infer", request.body, request.headers)
            response = connection.getresponse()
            content = response.read()
            answered.add(response.status)
            said = (number, response.status, request.body[:500], content[:300])
            if request.valid:
                assert response.status == 200, said
                continue
            assert response.status in (200, 400, 500, 501), said
            if response.status == 500:
                assert json.loads(content)["error"].startswith(MISTAKES_THAT_TRITON_ANSWERS_WITH_500), said
    assert {200, 400, 500} <= answered
    assert not [record for record in caplog.records if record.exc_info]
    connection.request("GET", "/v2/health/ready")
    assert connection.getresponse().status == 200
