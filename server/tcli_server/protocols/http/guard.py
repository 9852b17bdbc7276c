"""Whether a request's headers let it in."""

import re
from collections.abc import Callable, Mapping

from tcli_server.protocols.access.apis import Api
from tcli_server.protocols.access.guard import Denial, Guard, Refused

_MODEL = r"/v2/models/[^/]+(?:/versions/[0-9]+)?"
_APIS = {
    Api.HEALTH: rf"/v2/health/(?:live|ready)|{_MODEL}/ready",
    Api.STATISTICS: rf"/v2/models/stats|{_MODEL}/stats",
    Api.METADATA: rf"/v2|{_MODEL}",
    Api.INFERENCE: rf"{_MODEL}/(?:infer|generate|generate_stream)",
    Api.MODEL_CONFIG: rf"{_MODEL}/config",
    Api.MODEL_REPOSITORY: r"/v2/repository/.*",
    Api.SHARED_MEMORY: r"/v2/(?:system|cuda)sharedmemory/.*",
    Api.TRACE: r"/v2/(?:models/[^/]+/)?trace/setting",
    Api.LOGGING: r"/v2/logging",
}
_PATTERNS = [(api, re.compile(pattern.encode(), re.DOTALL)) for api, pattern in _APIS.items()]
_OPEN = re.compile(rb"/v2/health/(?:live|ready)|/v2/openapi\.json|/|/ui/.*", re.DOTALL)
"""Probes, the description of the API, which is no secret, and the web page, which has no data and sends the token that it is given
with all it asks."""

_QUERY = re.compile(rb"[?#]")
_CACHED_PATHS = 1024
_CACHED_PATH_BYTES = 256

_CHALLENGE = {
    Refused.NO_TOKEN: b"",
    Refused.UNKNOWN_TOKEN: b' error="invalid_token"',
    Refused.NO_SCOPE: b' error="insufficient_scope"',
}
"""As RFC 6750, section 3, has it."""

Refusal = tuple[int, str, bytes]
"""A status, a message and header lines."""

Meant = Callable[[bytes, Mapping[bytes, bytes]], bytes]
"""Tells from a target and the headers which target is answered."""


def api_of(path: bytes) -> Api | None:
    """The group that a path belongs to, as in Triton whatever the method is; None for all that is in none."""
    for api, pattern in _PATTERNS:
        if pattern.fullmatch(path):
            return api
    return None


class HttpGuard:
    """Looks at requests of one port.

    Args:
        api: what all paths belong to; None where `api_of` tells.
        meant: where a target may mean another one; None where each means itself.
    """

    def __init__(self, guard: Guard, api: Api | None = None, meant: Meant | None = None) -> None:
        self._guard = guard
        self._api = api
        self._meant = meant
        self._known: dict[bytes, tuple[Api | None, bool]] = {}

    def refusal(self, target: bytes, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """None if the request may be read on.

        Args:
            target: as it is routed.
        """
        if self._meant is not None:
            target = self._meant(target, headers)
        known = self._known.get(target)
        if known is None:
            path = _QUERY.split(target, 1)[0]
            known = (self._api or api_of(path), _OPEN.fullmatch(path) is not None and self._api is None)
            if len(self._known) < _CACHED_PATHS and len(target) <= _CACHED_PATH_BYTES:
                self._known[target] = known
        denial = self._guard.judge(*known, headers)
        return None if denial is None else _answer(denial)


def _answer(denial: Denial) -> Refusal:
    if denial.why is Refused.RESTRICTED:  # as Triton says it
        return 403, f"This API is restricted, expecting header '{denial.needed}'", b""
    challenge = b'WWW-Authenticate: Bearer realm="tcli"%s\r\n' % _CHALLENGE[denial.why]
    return 403 if denial.why is Refused.NO_SCOPE else 401, denial.text, challenge
