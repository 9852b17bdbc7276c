"""Whether a call may be made, from its headers alone: nothing of its body has been read."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from tcli_server.protocols.access.apis import Api
from tcli_server.protocols.access.restricted import Restriction
from tcli_server.protocols.access.tokens import TokenFile

_BEARER = b"bearer"


class Refused(Enum):
    """Why."""

    RESTRICTED = auto()
    NO_TOKEN = auto()
    UNKNOWN_TOKEN = auto()
    NO_SCOPE = auto()


@dataclass(frozen=True, slots=True)
class Denial:
    """That it may not; nothing in it is secret.

    Attributes:
        needed: the header, or the scope.
    """

    why: Refused
    needed: str = ""

    @property
    def text(self) -> str:
        """For the client, where a token is missing something."""
        if self.why is Refused.NO_TOKEN:
            return "a token is needed: send the header 'authorization: Bearer TOKEN'"
        if self.why is Refused.UNKNOWN_TOKEN:
            return "the token is not known"
        return f"the token is not for this API, expecting the scope '{self.needed}'"


class Guard:
    """Judges calls of one port."""

    def __init__(self, tokens: TokenFile | None, restrictions: Mapping[Api, Restriction]) -> None:
        self._tokens = tokens
        self._restrictions = restrictions

    def judge(self, api: Api | None, is_open: bool, headers: Mapping[bytes, bytes]) -> Denial | None:
        """None if the call may be made.

        Args:
            api: what it belongs to; None for what has no group of its own, which any token is good for.
            is_open: no token is needed, as whoever looks after the process has none, and a browser sends none for a page.
            headers: by name in lower case; values of a repeated one are joined.
        """
        restriction = self._restrictions.get(api) if api is not None else None
        if restriction is not None and not restriction.is_met(headers):
            return Denial(Refused.RESTRICTED, restriction.header)
        if self._tokens is None or is_open:
            return None
        kind, _, presented = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != _BEARER:
            return Denial(Refused.NO_TOKEN)
        token = self._tokens.find(presented.strip(b" "))
        if token is None:
            return Denial(Refused.UNKNOWN_TOKEN)
        if api is not None and api not in token.scopes:
            return Denial(Refused.NO_SCOPE, api.value)
        return None
