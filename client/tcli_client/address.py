"""Where a server is: the forms in which people write it, and the defaults for what they leave out."""

import ipaddress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from tcli_client.errors import UrlError

Protocol = Literal["http", "grpc"]

DEFAULT_PORTS: dict[Protocol, int] = {"http": 8000, "grpc": 8001}
"""Triton's ports."""

_TLS_PORT = 443
_SCHEMES: dict[str, tuple[Protocol, bool]] = {
    "http": ("http", False),
    "https": ("http", True),
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
}


@dataclass(frozen=True)
class Address:
    """One endpoint of one server, or a model repository whose models run in this process.

    Attributes:
        path: what stands before `/v2` on a server behind a prefix, without a slash at its end; HTTP only. Or the repository.
    """

    protocol: Protocol | Literal["local"]
    host: str
    port: int
    tls: bool = False
    path: str = ""

    @property
    def host_and_port(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        if self.protocol == "local":
            return self.path
        return f"{self.protocol}{'s' if self.tls else ''}://{self.host_and_port}{self.path}"


def parse_address(url: str, protocol: Protocol | None = None) -> Address:
    """Understand `host`, `host:port`, `:port`, `http://host:port/prefix`, `https://`, `grpc://` and `grpcs://` URLs.

    A missing port is Triton's for the protocol (8000 or 8001), or 443 with TLS.

    Args:
        protocol: for a `url` without a scheme, "http" if not given; must agree with a scheme.

    Raises:
        UrlError: the text is not an address, or its scheme contradicts `protocol`.
    """
    text = url.strip()
    split = _split(text)
    if split.scheme and split.scheme not in _SCHEMES:
        raise UrlError(
            f"'{url}' begins with '{split.scheme}://'", "use http://, https://, grpc:// or grpcs://, or host:port"
        )
    scheme_protocol, tls = _SCHEMES.get(split.scheme, (protocol or "http", False))
    if protocol and protocol != scheme_protocol:
        raise UrlError(
            f"the URL '{url}' is for {scheme_protocol}, the protocol asked for is {protocol}", "leave one out"
        )
    host, port = _host_and_port(url, split)
    path = split.path.rstrip("/").removesuffix("/v2")
    if split.username or split.query or split.fragment or (path and scheme_protocol == "grpc"):
        raise UrlError(f"'{url}' holds more than a server's address", f"write {scheme_protocol}://{host}:PORT")
    default = _TLS_PORT if tls else DEFAULT_PORTS[scheme_protocol]
    return Address(scheme_protocol, host, port or default, tls, path)


def _split(text: str) -> SplitResult:
    if "://" not in text:
        text = f"//[{text}]" if _is_ipv6(text) else f"//{text}"
    try:
        return urlsplit(text)
    except ValueError as problem:
        raise UrlError(f"'{text}' is not an address: {problem}", "write host:port") from None


def _host_and_port(url: str, split: SplitResult) -> tuple[str, int | None]:
    try:
        host, port = split.hostname, split.port
    except ValueError as problem:
        raise UrlError(
            f"'{url}' is not an address: {problem}", "write host:port, with a port from 1 to 65535"
        ) from None
    if port == 0:
        raise UrlError(f"'{url}' has port 0", "write host:port, with a port from 1 to 65535")
    if host is None and port is None:
        raise UrlError(f"'{url}' names no host", "write host:port")
    if host and (host.isdecimal() or any(character.isspace() for character in host)):
        raise UrlError(
            f"'{url}' is not an address: '{host}' is not a host", "write host:port, for example localhost:8000"
        )
    return host or "localhost", port


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
