"""Certificates for tests, made by trustme."""

import os
import ssl
from pathlib import Path
from typing import Literal

import grpc
import trustme

from tcli_server.protocols.tls import TlsOptions


class TlsFiles:
    """Certificates of one authority: the server's, and a client's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root.pem"
        self.renew()

    def renew(self) -> None:
        """Write files of a new authority in the place of the old ones, each at once."""
        authority = trustme.CA()
        self._write("root.pem", authority.cert_pem.bytes())
        for name in ("server", "client"):
            made = authority.issue_cert("localhost", "127.0.0.1")
            self._write(f"{name}.key", made.private_key_pem.bytes())
            self._write(f"{name}.pem", b"".join(part.bytes() for part in made.cert_chain_pems))

    def options(self, mutual: bool = False, protocol: Literal["http", "grpc"] = "grpc") -> TlsOptions:
        return TlsOptions(self.path("server.pem"), self.path("server.key"), str(self.root), mutual, protocol)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def channel_credentials(self, with_certificate: bool = False) -> grpc.ChannelCredentials:
        key, certificate = ((self.folder / name).read_bytes() for name in ("client.key", "client.pem"))
        return grpc.ssl_channel_credentials(self.root.read_bytes(), *((key, certificate) if with_certificate else ()))

    def client_context(self, with_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.root))
        if with_certificate:
            context.load_cert_chain(self.path("client.pem"), self.path("client.key"))
        return context

    def _write(self, name: str, data: bytes) -> None:
        new = self.folder / f"{name}.new"
        new.write_bytes(data)
        new.chmod(0o600)
        os.replace(new, self.folder / name)  # noqa: PTH105 - as one writes it
