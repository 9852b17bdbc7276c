"""How the V2 protocol is served over HTTP."""

from dataclasses import dataclass

from tcli_server.protocols.http.response_headers import ResponseHeaders
from tcli_server.protocols.request_headers import RequestHeaders

DEFAULT_MAX_INPUT_SIZE = 64 << 20


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What an application does with requests; what a client may cost on the way there is for `HttpLimits` to say.

    Attributes:
        max_input_size: bytes of JSON, or of one decompressed body, that a request may have.
        header_forward_pattern: of headers that models get as request parameters, a regular expression that is found anywhere in the
            name; empty for none.
        response_header_pattern: of response parameters that are headers, too; likewise.
        ui: serve the web page at `/`.
    """

    max_input_size: int = DEFAULT_MAX_INPUT_SIZE
    header_forward_pattern: str = ""
    response_header_pattern: str = ""
    ui: bool = True

    def request_headers(self) -> RequestHeaders:
        """What reads the headers of requests, whose names have no case.

        Raises:
            InvalidArgumentError: the pattern is none.
        """
        return RequestHeaders(self.header_forward_pattern, "http_header_forward_pattern", any_case=True)

    def response_headers(self) -> ResponseHeaders:
        """What makes headers of response parameters.

        Raises:
            InvalidArgumentError: the pattern is none.
        """
        return ResponseHeaders(self.response_header_pattern)
