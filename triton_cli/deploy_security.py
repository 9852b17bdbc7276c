"""TLS and bearer tokens of a deployment: off unless asked for, and where each replica finds its files."""

from dataclasses import dataclass

_CERTIFICATE, _KEY, _AUTHORITY = "/tls/tls.crt", "/tls/tls.key", "/tls/ca.crt"
"""Named as cert-manager names them in a Secret."""
_TOKENS = "/tokens/tokens"


@dataclass(frozen=True, slots=True)
class Security:
    """How replicas, and the proxies before them, guard their ports.

    Attributes:
        host: a name in the certificate, which proxies and Prometheus expect of the replicas; None without TLS.
        clients: only clients with a certificate of the same authority.
        tokens: only with a bearer token.
    """

    host: str | None = None
    clients: bool = False
    tokens: bool = False

    @property
    def serve_options(self) -> list[str]:
        """Options of `tcli serve`."""
        options = []
        if self.host is not None:
            for protocol in ("http", "grpc"):
                options += [
                    f"--{protocol}-use-ssl=true",
                    f"--{protocol}-server-cert={_CERTIFICATE}",
                    f"--{protocol}-server-key={_KEY}",
                ]
                if self.clients:
                    options += [f"--{protocol}-use-ssl-mutual=true", f"--{protocol}-root-cert={_AUTHORITY}"]
        if self.tokens:
            options.append(f"--auth-token-file={_TOKENS}")
        return options

    def health_script(self, http_port: int, path: str) -> str:
        """Python for a replica's own health check, without double quotes. Over TLS it expects a certificate of the authority, whatever
        its name, and shows the server's own where clients need one."""
        if self.host is None:
            return f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{http_port}{path}', timeout=4)"
        shown = f"c.load_cert_chain('{_CERTIFICATE}', '{_KEY}'); " if self.clients else ""
        return (
            f"import ssl, urllib.request; c = ssl.create_default_context(cafile='{_AUTHORITY}'); c.check_hostname = False; {shown}"
            f"urllib.request.urlopen('https://127.0.0.1:{http_port}{path}', timeout=4, context=c)"
        )


OPEN = Security()
"""Neither TLS nor tokens."""
