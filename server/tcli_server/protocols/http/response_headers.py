"""Response parameters of a model that are headers of HTTP, too, so that proxies and browsers see them."""

import re
from collections.abc import Mapping

from tcli_server.protocols.request_headers import matcher
from tcli_server.request import Parameter

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,4096}")
_MOST_BYTES = 1 << 14
"""Of all of them: clients and proxies refuse an answer whose headers are larger."""

_OURS = frozenset(
    (
        "connection", "content-encoding", "content-length", "content-type", "inference-header-content-length", "keep-alive",
        "server-timing", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip
"""What says how the answer is to be read: no model's business."""


class ResponseHeaders:
    """Makes headers of parameters.

    Args:
        pattern: found anywhere in their names; empty for none.

    Raises:
        InvalidArgumentError: the pattern is none.
    """

    def __init__(self, pattern: str = "") -> None:
        self.any = bool(pattern)
        self._is_header = matcher(pattern, "http_response_header_pattern", any_case=True)

    def of(self, parameters: Mapping[str, Parameter]) -> bytes:
        """Header lines; what cannot be one is left out, and is still among the parameters."""
        lines: list[str] = []
        left = _MOST_BYTES
        for name, value in parameters.items():
            if self._is_header(name) and _NAME.fullmatch(name) and name.lower() not in _OURS:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                if not _VALUE.fullmatch(text):
                    continue
                line = f"{name}: {text}\r\n"
                left -= len(line)
                if left < 0:
                    break
                lines.append(line)
        return "".join(lines).encode("latin-1")
