"""TLS under gRPC: the files, read and checked before anything is served."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from tcli_server.errors import InvalidArgumentError

ALPN = "h2"
"""What HTTP/2 is called in a TLS handshake; gRPC's own servers and this one refuse a client that does not offer it."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files in PEM format; names are Triton's, with `grpc_` before.

    Attributes:
        server_cert: the server's certificate, and those between it and its root.
        server_key: its private key, not encrypted.
        root_cert: by which clients' certificates are checked; needed where `mutual` is.
        mutual: only clients with such a certificate are let in.
    """

    server_cert: str
    server_key: str
    root_cert: str = ""
    mutual: bool = False


@dataclass(frozen=True, slots=True)
class _Pem:
    """The contents of the files; `root` is None where clients show no certificate."""

    certificate: bytes
    key: bytes
    root: bytes | None


def ssl_context(options: TlsOptions) -> ssl.SSLContext:
    """For servers of HTTP/2.

    Raises:
        InvalidArgumentError: a file is missing, or is not what it is to be.
    """
    pem = read_pem(options)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as RFC 9113 has it
    context.set_alpn_protocols([ALPN])
    _load_pair(context, options)
    if pem.root is not None:
        try:
            context.load_verify_locations(cadata=pem.root.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise _wrong("grpc_root_cert", options.root_cert, "certificates in PEM format", error) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def read_pem(options: TlsOptions) -> _Pem:
    """The files' contents, which nothing is said of yet.

    Raises:
        InvalidArgumentError: a file is not named, or cannot be read.
    """
    return _Pem(
        _read("grpc_server_cert", options.server_cert),
        _read("grpc_server_key", options.server_key),
        _read("grpc_root_cert", options.root_cert) if options.mutual else None,
    )


def _load_pair(context: ssl.SSLContext, options: TlsOptions) -> None:
    def no_password() -> str:  # OpenSSL would ask for one at the terminal
        raise InvalidArgumentError(
            f"grpc_server_key: '{options.server_key}' is encrypted, expected a private key that needs no password; "
            "fix: openssl pkey -in KEY -out PLAIN_KEY"
        )

    try:
        context.load_cert_chain(options.server_cert, options.server_key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidArgumentError(
                f"grpc_server_key: '{options.server_key}' is not the key of the certificate '{options.server_cert}'; "
                "fix: name the two that belong together"
            ) from None
        if not _is_certificate(options.server_cert):
            raise _wrong("grpc_server_cert", options.server_cert, "a certificate in PEM format", error) from None
        raise _wrong("grpc_server_key", options.server_key, "a private key in PEM format", error) from None


def _is_certificate(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True


def _read(field: str, path: str) -> bytes:
    if not path:
        raise InvalidArgumentError(f"{field} is missing, which gRPC with TLS needs; fix: name a file in PEM format")
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(f"{field}: cannot read '{path}': {why}; fix: name a file in PEM format") from None


def _wrong(field: str, path: str, expected: str, error: Exception) -> InvalidArgumentError:
    reason = getattr(error, "reason", None) or error
    return InvalidArgumentError(f"{field}: '{path}' is not {expected} ({reason}); fix: name a file that is")
