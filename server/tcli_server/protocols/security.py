"""What stands between the network and a server: TLS, tokens and restricted APIs, each with files that are followed."""

from collections.abc import Mapping
from dataclasses import dataclass

from tcli_server.protocols.access.apis import Api
from tcli_server.protocols.access.guard import Guard
from tcli_server.protocols.access.restricted import Restriction, read_restrictions
from tcli_server.protocols.access.tokens import FIELD, TokenFile
from tcli_server.protocols.following import Followed, Follower
from tcli_server.protocols.grpc.guard import RESTRICTED_PREFIX, GrpcGuard
from tcli_server.protocols.http.guard import HttpGuard, Meant
from tcli_server.protocols.small_files import warn_if_others_read
from tcli_server.protocols.tls import Certificates, TlsOptions


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """Who may reach a server, and how; all of it is off by default.

    Attributes:
        http_tls: the files for TLS of the HTTP and the metrics port. Not an option of Triton's.
        auth_token_file: of tokens, one of which every call needs but those that ask whether the server is alive and ready. Not
            an option of Triton's.
        http_restricted_api: Triton's, each `API1,API2:KEY=VALUE`; likewise grpc_restricted_protocol.
    """

    http_tls: TlsOptions | None = None
    auth_token_file: str = ""
    http_restricted_api: tuple[str, ...] = ()
    grpc_restricted_protocol: tuple[str, ...] = ()


class Security:
    """The same, from files that were read and checked.

    Attributes:
        http_guard: None where everybody may ask everything; likewise grpc_guard and metrics_guard.
        http_certificates: None for no TLS; likewise grpc_certificates.

    Raises:
        InvalidArgumentError: a file or a text is not what it is to be.
    """

    def __init__(self, options: SecurityOptions, grpc_tls: TlsOptions | None = None) -> None:
        tokens = TokenFile(options.auth_token_file) if options.auth_token_file else None
        http = self._http = _guard(tokens, read_restrictions("http_restricted_api", options.http_restricted_api))
        grpc = _guard(
            tokens, read_restrictions("grpc_restricted_protocol", options.grpc_restricted_protocol, RESTRICTED_PREFIX)
        )
        metrics = _guard(tokens, {})
        self.http_guard = None if http is None else HttpGuard(http)
        self.grpc_guard = None if grpc is None else GrpcGuard(grpc)
        self.metrics_guard = None if metrics is None else HttpGuard(metrics, Api.METRICS)
        self.http_certificates = None if options.http_tls is None else Certificates(options.http_tls)
        self.grpc_certificates = None if grpc_tls is None else Certificates(grpc_tls)
        followed: tuple[Followed | None, ...] = (tokens, self.http_certificates, self.grpc_certificates)
        self._follower = Follower([one for one in followed if one is not None])
        self._secrets = [(f"{tls.protocol}_server_key", tls.server_key) for tls in (options.http_tls, grpc_tls) if tls]
        if options.auth_token_file:
            self._secrets.append((FIELD, options.auth_token_file))

    def start(self) -> None:
        """Follow the files from now on; warn of those with secrets that everybody can read."""
        for field, path in self._secrets:
            warn_if_others_read(field, path)
        self._follower.start()

    def stop(self) -> None:
        """Follow them no more."""
        self._follower.stop()

    def guard_of_cloud(self, meant: Meant) -> HttpGuard | None:
        """As `http_guard`, for a port whose requests mean others."""
        return None if self._http is None else HttpGuard(self._http, meant=meant)


def _guard(tokens: TokenFile | None, restrictions: Mapping[Api, Restriction]) -> Guard | None:
    return Guard(tokens, restrictions) if tokens is not None or restrictions else None
