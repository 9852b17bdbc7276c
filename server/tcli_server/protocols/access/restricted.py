"""Triton's `--http-restricted-api` and `--grpc-restricted-protocol`: APIs for who sends a certain header."""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.access.apis import RESTRICTABLE, Api

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a header may be called (RFC 9110, section 5.6.2)."""


@dataclass(frozen=True, slots=True, repr=False)
class Restriction:
    """A header and its value, which is a secret.

    Attributes:
        header: as clients are told of it.
    """

    header: str
    value: bytes

    def is_met(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether these have it; their names are in lower case."""
        found = headers.get(self.header.lower().encode())
        return found is not None and hmac.compare_digest(found, self.value)


def read_restrictions(field: str, given: Sequence[str], prefix: str = "") -> dict[Api, Restriction]:
    """By API, from `API1,API2:KEY=VALUE`.

    Args:
        field: whose value they are.
        prefix: of the headers' names.

    Raises:
        InvalidArgumentError: another form, an unknown API, or one that is restricted twice. It says nothing of values.
    """
    restrictions: dict[Api, Restriction] = {}
    for one in given:
        names, colon, setting = one.partition(":")
        key, equals, value = setting.partition("=")
        if not (colon and equals and value and _NAME.fullmatch(key)):
            raise InvalidArgumentError(
                f"{field}: expected API1,API2,...:KEY=VALUE, with a KEY that a header may be called"
            )
        for name in names.split(","):
            api = RESTRICTABLE.get(name)
            if api is None:
                raise InvalidArgumentError(f"{field}: unknown API '{name}'; expected some of {', '.join(RESTRICTABLE)}")
            if api in restrictions:
                raise InvalidArgumentError(f"{field}: '{name}' is restricted twice; fix: name it in one group only")
            restrictions[api] = Restriction(prefix + key, value.encode())
    return restrictions
