"""What schemathesis asks of every answer, besides its own checks: see `http_api.py`."""

import re

import schemathesis

TRITONS_500 = re.compile(
    r"failed to parse the request JSON buffer|failed to load '|failed to unload '|Unable to parse '|unexpected type for load parameter"
    r"|unrecognized load parameter|Expected JSON object for keyword|Converting keyword|failed to poll from model repository"
    r"|attempt to access JSON"
)
"""Beginnings of what Triton, too, answers with 500 though the client is wrong."""


@schemathesis.check
def no_500_but_tritons(_context, response, _case) -> None:  # type: ignore[no-untyped-def]
    """A client's mistake is no server's error, except where Triton calls it one."""
    if response.status_code == 500:
        error = response.json()["error"]
        assert TRITONS_500.search(error), f"500 for {error}"
