"""TLS: its files, read and checked before anything is served and followed from then on, and handshakes."""

import ssl
from dataclasses import dataclass
from typing import Literal

from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.small_files import read_small

ALPN = {"http": "http/1.1", "grpc": "h2"}
"""What the protocols are called in a TLS handshake. gRPC's own servers and this one refuse a client that does not offer `h2`."""

_NAMES = {"http": "HTTP", "grpc": "gRPC"}
_FIX = "fix: name a file in PEM format"


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files in PEM format; names are Triton's, with `grpc_` before, and likewise `http_`.

    Attributes:
        server_cert: the server's certificate, and those between it and its root.
        server_key: its private key, not encrypted.
        root_cert: by which clients' certificates are checked; needed where `mutual` is.
        mutual: only clients with such a certificate are let in.
        protocol: whose files they are.
    """

    server_cert: str
    server_key: str
    root_cert: str = ""
    mutual: bool = False
    protocol: Literal["http", "grpc"] = "grpc"


@dataclass(frozen=True, slots=True)
class Pem:
    """The contents of the files; `root` is None where clients show no certificate."""

    certificate: bytes
    key: bytes
    root: bytes | None


class Certificates:
    """The files of a port as they were last read without a mistake; a `Followed`.

    Attributes:
        context: for connections that come from now on. One made of new files knows nothing of the old ones, tickets for resumed
            sessions included: a client whose authority was taken out is asked for its certificate again.
        pem: what it was made of.

    Raises:
        InvalidArgumentError: a file is missing, or is not what it is to be.
    """

    def __init__(self, options: TlsOptions) -> None:
        self.name = f"TLS of {_NAMES[options.protocol]}"
        self._options = options
        self.pem = read_pem(options)
        self.context = ssl_context(options)

    def renew(self) -> bool:
        """As `Followed`."""
        pem = read_pem(self._options)
        if pem == self.pem:
            return False
        # The files may change between the two; then they differ from `pem`, and are read again.
        self.context = ssl_context(self._options)
        self.pem = pem
        return True


def ssl_context(options: TlsOptions) -> ssl.SSLContext:
    """For servers of the protocol.

    Raises:
        InvalidArgumentError: a file is missing, or is not what it is to be.
    """
    pem = read_pem(options)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as RFC 9113 has it
    context.options |= ssl.OP_NO_RENEGOTIATION  # which costs the server more than the client
    context.set_alpn_protocols([ALPN[options.protocol]])
    _load_pair(context, options)
    if pem.root is not None:
        try:
            context.load_verify_locations(cadata=pem.root.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            field = f"{options.protocol}_root_cert"
            raise _wrong(field, options.root_cert, "certificates in PEM format", error) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def read_pem(options: TlsOptions) -> Pem:
    """The files' contents, which nothing is said of yet.

    Raises:
        InvalidArgumentError: a file is not named, or cannot be read.
    """
    return Pem(
        _read(options, "server_cert", options.server_cert),
        _read(options, "server_key", options.server_key),
        _read(options, "root_cert", options.root_cert) if options.mutual else None,
    )


def _load_pair(context: ssl.SSLContext, options: TlsOptions) -> None:
    prefix = f"{options.protocol}_server"

    def no_password() -> str:  # OpenSSL would ask for one at the terminal
        raise InvalidArgumentError(
            f"{prefix}_key: '{options.server_key}' is encrypted, expected a private key that needs no password; "
            "fix: openssl pkey -in KEY -out PLAIN_KEY"
        )

    try:
        context.load_cert_chain(options.server_cert, options.server_key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidArgumentError(
                f"{prefix}_key: '{options.server_key}' is not the key of the certificate '{options.server_cert}'; "
                "fix: name the two that belong together"
            ) from None
        if not _is_certificate(options.server_cert):
            raise _wrong(f"{prefix}_cert", options.server_cert, "a certificate in PEM format", error) from None
        raise _wrong(f"{prefix}_key", options.server_key, "a private key in PEM format", error) from None
    except OSError as error:  # gone since it was read
        raise InvalidArgumentError(f"{prefix}_cert, {prefix}_key: cannot read them: {error.strerror}; {_FIX}") from None


def _is_certificate(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (ssl.SSLError, OSError):
        return False
    return True


def _read(options: TlsOptions, name: str, path: str) -> bytes:
    if not path:
        what = _NAMES[options.protocol]
        raise InvalidArgumentError(f"{options.protocol}_{name} is missing, which {what} with TLS needs; {_FIX}")
    return read_small(f"{options.protocol}_{name}", path, _FIX)


def _wrong(field: str, path: str, expected: str, error: Exception) -> InvalidArgumentError:
    reason = getattr(error, "reason", None) or error
    return InvalidArgumentError(f"{field}: '{path}' is not {expected} ({reason}); fix: name a file that is")
