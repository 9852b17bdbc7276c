"""Whom a client trusts, and who it is: files that the environment names, as secrets have no place on a command line."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tcli_client.errors import CredentialsError

if TYPE_CHECKING:
    import grpc

CA, CERT, KEY, TOKEN = "TCLI_CLIENT_CA", "TCLI_CLIENT_CERT", "TCLI_CLIENT_KEY", "TCLI_CLIENT_TOKEN_FILE"

UNTRUSTED = "the certificate of {} is not signed by an authority that is trusted here"
UNTRUSTED_FIX = f"name the file with that authority's certificate: {CA}=root.pem"
NO_TOKEN_FIX = f"let {TOKEN} name a file with a token that the server knows"
"""For an answer that asks for one, or does not know the one that it got."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Paths of files in PEM format, empty for none, and a token.

    Attributes:
        ca: the roots that a server's certificate is checked by; empty for the system's.
        cert: the client's own certificate, and `key` its private key.
        token: sent with every request.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    token: str = ""

    @classmethod
    def of_environment(cls) -> Self:
        """Those of `TCLI_CLIENT_CA`, `TCLI_CLIENT_CERT`, `TCLI_CLIENT_KEY` and `TCLI_CLIENT_TOKEN_FILE`.

        Raises:
            CredentialsError: the file of the token cannot be read, or holds more than a token.
        """
        ca, cert, key, token = (os.environ.get(name, "") for name in (CA, CERT, KEY, TOKEN))
        return cls(ca, cert, key or cert, _token(token) if token else "")

    @property
    def is_for_tls(self) -> bool:
        """Something differs from what any client does."""
        return bool(self.ca or self.cert)

    @property
    def headers(self) -> Mapping[str, str]:
        """To send along with each request; over gRPC as metadata."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def ssl_context(self) -> ssl.SSLContext:
        """For HTTP.

        Raises:
            CredentialsError: a file is not what it is to be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
        except (OSError, ValueError) as problem:
            raise _wrong(CA, self.ca, problem) from None
        if self.cert:
            try:
                context.load_cert_chain(self.cert, self.key)
            except (OSError, ValueError) as problem:
                raise _wrong(f"{CERT}, {KEY}", f"{self.cert}', '{self.key}", problem) from None
        return context

    def channel_credentials(self) -> "grpc.ChannelCredentials":
        """For gRPC.

        Raises:
            CredentialsError: a file is not what it is to be.
        """
        import grpc

        self.ssl_context()  # gRPC does not say what is wrong with a file
        ca, cert, key = (Path(path).read_bytes() if path else None for path in (self.ca, self.cert, self.key))
        return grpc.ssl_channel_credentials(ca, key, cert)


def _token(path: str) -> str:
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as problem:
        raise _wrong(TOKEN, path, problem) from None
    if not token or not all("!" <= character <= "~" for character in token):
        raise CredentialsError(f"{TOKEN}: expected a token and nothing else in '{path}'", "write a token to the file")
    return token


def _wrong(variable: str, path: str, problem: Exception) -> CredentialsError:
    if isinstance(problem, UnicodeError):  # whose text quotes what may be a secret
        why = "it is not a text"
    else:
        why = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or str(problem)
    return CredentialsError(f"{variable}: cannot use '{path}' ({why})", "let the variable name a file that can be used")
