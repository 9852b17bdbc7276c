"""Bearer tokens: the file that lists them, and whose a token is.

A line a token, in three columns: its name, what it may be used for, and the token or what `printf %s TOKEN | sha256sum` says of it.

    # name    scopes               token
    gateway   inference,metadata   sha256:5c1a...
    admin     all                  9vJ2mXxE0...
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import blake2b, sha256

from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.access.apis import Api
from tcli_server.protocols.small_files import read_small

FIELD = "auth_token_file"
_SHORTEST, LONGEST = 16, 4096
"""Characters of a token: fewer can be guessed."""

_COLUMNS = 3
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 lets a client send."""

_DIGEST = re.compile(rb"sha256:([0-9A-Fa-f]{64})")
_SCOPES = {api.value: api for api in Api}
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of one.

    Attributes:
        digest: SHA-256; the token itself is not kept.
    """

    name: str
    scopes: frozenset[Api]
    digest: bytes


class TokenFile:
    """Tokens as they were last read without a mistake; a `Followed`.

    Raises:
        InvalidArgumentError: the file cannot be read, or holds something else, or nothing.
    """

    name = "tokens"

    def __init__(self, path: str) -> None:
        self._path = path
        self._data: bytes | None = None
        # Looked up by a digest under a key that nobody knows: how long that takes says nothing of the tokens there are.
        self._key = secrets.token_bytes(32)
        self._by_tag: dict[bytes, Token] = {}
        self.renew()

    def renew(self) -> bool:
        """As `Followed`."""
        data = read_small(FIELD, self._path, "fix: name a file of tokens")
        if data == self._data:
            return False
        self._by_tag = {self._tag(token.digest): token for token in read_tokens(data, self._path)}
        self._data = data
        return True

    def find(self, presented: bytes) -> Token | None:
        """Whose token it is."""
        if len(presented) > LONGEST:
            return None
        digest = sha256(presented).digest()
        token = self._by_tag.get(self._tag(digest))
        return token if token is not None and hmac.compare_digest(token.digest, digest) else None

    def _tag(self, digest: bytes) -> bytes:
        return blake2b(digest, key=self._key).digest()


def read_tokens(data: bytes, path: str) -> list[Token]:
    """What a file holds.

    Raises:
        InvalidArgumentError: names the line and says what is expected, nothing of what is found: it may be a secret.
    """
    tokens: dict[bytes, Token] = {}
    for number, line in enumerate(data.splitlines(), 1):
        columns = line.split()
        if not columns or columns[0].startswith(b"#"):
            continue
        where = f"{FIELD}: '{path}', line {number}"
        if len(columns) != _COLUMNS:
            raise InvalidArgumentError(f"{where}: expected a name, scopes and a token; found {len(columns)} columns")
        token = Token(
            columns[0].decode("utf-8", "backslashreplace"), _scopes(columns[1], where), _digest(columns[2], where)
        )
        if token.digest in tokens:
            raise InvalidArgumentError(f"{where}: this token is in a line before; fix: one line for each token")
        tokens[token.digest] = token
    if not tokens:
        raise InvalidArgumentError(
            f"{FIELD}: there are no tokens in '{path}'; fix: a line with a name, scopes and a token"
        )
    return list(tokens.values())


def _scopes(column: bytes, where: str) -> frozenset[Api]:
    names = column.decode("latin-1").split(",")
    if names == [_ALL]:
        return frozenset(Api)
    if not _SCOPES.keys() >= set(names):
        known = ", ".join(_SCOPES)
        raise InvalidArgumentError(
            f"{where}: the second column is no list of scopes; expected {_ALL}, or some of {known}"
        )
    return frozenset(_SCOPES[name] for name in names)


def _digest(column: bytes, where: str) -> bytes:
    match = _DIGEST.fullmatch(column)
    if match is not None:
        return bytes.fromhex(match[1].decode())
    if not _TOKEN.fullmatch(column):
        raise InvalidArgumentError(
            f"{where}: the third column is no token: expected letters, digits and any of -._~+/, or sha256: and 64 digits"
        )
    if not _SHORTEST <= len(column) <= LONGEST:
        raise InvalidArgumentError(
            f"{where}: the token has {len(column)} characters, expected {_SHORTEST} to {LONGEST}; fix: openssl rand -hex 32"
        )
    return sha256(column).digest()
