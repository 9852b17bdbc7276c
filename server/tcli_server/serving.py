"""The server process: an engine behind HTTP, gRPC and metrics ports, in one event loop of a thread of its own.

with Server(Engine("model_repository"), ServeOptions(http_port=0)) as server:
    print(f"http://127.0.0.1:{server.http_port}/v2")
"""

import asyncio
import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from tcli_server.engine import LONGEST_WAIT_SECS, Engine
from tcli_server.errors import InvalidArgumentError, UnavailableError
from tcli_server.observability.access_log import AccessLog, AccessLogOptions
from tcli_server.observability.custom_metrics import MetricKind
from tcli_server.observability.http import MetricsApplication, start_metrics
from tcli_server.observability.log import LOG
from tcli_server.observability.metrics import ServerCollector
from tcli_server.observability.system import SystemPoller
from tcli_server.protocols.grpc import GrpcOptions, GrpcServer, check_engine, start_grpc
from tcli_server.protocols.http import DEFAULT_MAX_INPUT_SIZE, HttpLimits, HttpOptions, HttpServer, start_http
from tcli_server.protocols.http.application import HttpApplication
from tcli_server.protocols.http.clouds import Cloud, CloudRoutes
from tcli_server.protocols.http.guard import HttpGuard
from tcli_server.protocols.request_headers import RequestHeaders
from tcli_server.protocols.security import Security, SecurityOptions
from tcli_server.protocols.shared_memory import SystemSharedMemory
from tcli_server.protocols.tls import Certificates

_Result = TypeVar("_Result")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where a server listens and how; names and defaults are Triton's. Port 0 takes a free one.

    Attributes:
        metrics_address: None for the same as `http_address`.
        http_max_input_size: bytes of JSON, or of one decompressed body, that an HTTP request may have.
        http_header_forward_pattern: of headers that models get as request parameters, a regular expression that is found anywhere
            in the name; empty for none.
        http_response_header_pattern: of response parameters that are headers, too; likewise.
        http: what one client may cost.
        allow_ui: the web page at `/` of the HTTP port, which is not Triton's.
        metrics_interval_ms: the machine's gauges are read twice in this time.
        exit_timeout_secs: how long `shutdown` waits for requests in flight.
        shutdown_delay_secs: how long `withdraw` leaves load balancers to send requests elsewhere.
        reuse_http_port: other servers of this user that want so, too, may listen on the same port (SO_REUSEPORT), and the
            system gives each connection to one of them; likewise reuse_grpc_port.
        clouds: that are answered on ports of their own, at `http_address`.
        allow_client_shm: clients on this machine may have their tensors in shared memory that they register. Any client can
            then have any object of this user's, and of what this user may open, read and written.
        access_log: where requests are logged; None for nowhere.
        security: TLS of HTTP and metrics, tokens, restricted APIs; TLS of gRPC is an option of gRPC's.
    """

    http_port: int = 8000
    http_address: str = "0.0.0.0"
    allow_http: bool = True
    http_max_input_size: int = DEFAULT_MAX_INPUT_SIZE
    http_header_forward_pattern: str = ""
    http_response_header_pattern: str = ""
    http: HttpLimits = field(default_factory=HttpLimits)
    allow_ui: bool = True
    grpc_port: int = 8001
    grpc_address: str = "0.0.0.0"
    allow_grpc: bool = True
    grpc: GrpcOptions = field(default_factory=GrpcOptions)
    metrics_port: int = 8002
    metrics_address: str | None = None
    allow_metrics: bool = True
    allow_cpu_metrics: bool = True
    allow_gpu_metrics: bool = True
    metrics_interval_ms: int = 2000
    exit_timeout_secs: float = 30
    shutdown_delay_secs: float = 0
    reuse_http_port: bool = False
    reuse_grpc_port: bool = False
    allow_client_shm: bool = False
    clouds: tuple[Cloud, ...] = ()
    access_log: AccessLogOptions | None = None
    security: SecurityOptions = field(default_factory=SecurityOptions)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One service and where it listens.

    Attributes:
        name: `http`, `grpc` or `metrics`: how its fields in `ServeOptions` begin.
        service: as Triton's log calls it.
        shared: other processes may listen there, too.
    """

    name: str
    service: str
    host: str
    port: int
    shared: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoints(options: ServeOptions) -> list[Endpoint]:
    """What a server with these options would open."""
    metrics_address = options.http_address if options.metrics_address is None else options.metrics_address
    grpc = Endpoint("grpc", "GRPCInferenceService", options.grpc_address, options.grpc_port, options.reuse_grpc_port)
    http = Endpoint("http", "HTTPService", options.http_address, options.http_port, options.reuse_http_port)
    metrics = Endpoint("metrics", "Metrics Service", metrics_address, options.metrics_port)
    offered = ((options.allow_grpc, grpc), (options.allow_http, http), (options.allow_metrics, metrics))
    clouds = [Endpoint(cloud.name, cloud.service, options.http_address, cloud.port) for cloud in options.clouds]
    return [*(endpoint for allowed, endpoint in offered if allowed), *clouds]


def check_endpoints(options: ServeOptions) -> None:
    """Find out before models are loaded whether the addresses can be had; messages name fields of `options`.

    Raises:
        InvalidArgumentError: as of `check_services`, or an address that this machine does not have.
        UnavailableError: likewise, or a port is taken.
    """
    check_services(options)
    for endpoint in endpoints(options):
        with bind_errors(endpoint):
            _try_to_bind(endpoint)


def check_services(options: ServeOptions) -> None:
    """Find out whether the options go together, whatever else uses this machine's ports.

    Raises:
        InvalidArgumentError: two services on one port, a file for TLS or of tokens that cannot be used, a pattern that is
            none, or what a cloud's port cannot have.
        UnavailableError: the access log cannot be written, or gRPC's engine is not installed.
    """
    security_of(options)
    if options.clouds:
        _check_security_of_clouds(options.security)
    if options.access_log is not None:
        options.access_log.check()
    if options.allow_grpc:
        check_engine(options.grpc.engine)
    http = _http_options(options)
    http.request_headers()
    http.response_headers()
    RequestHeaders(options.grpc.header_forward_pattern, "grpc_header_forward_pattern")
    taken: dict[int, Endpoint] = {}
    for endpoint in endpoints(options):
        if not 0 <= endpoint.port <= _MAX_PORT:
            raise InvalidArgumentError(f"{endpoint.name}_port {endpoint.port} is no port; fix: 0 to {_MAX_PORT}")
        other = taken.setdefault(endpoint.port, endpoint) if endpoint.port else endpoint
        if other is not endpoint and _overlap(other.host, endpoint.host):
            raise InvalidArgumentError(
                f"{other.name}_port and {endpoint.name}_port are both {endpoint.port}; fix: give each service a port of "
                "its own"
            )


def _check_security_of_clouds(security: SecurityOptions) -> None:
    """Who asks for a lock on a server gets none that one of its ports does not have."""
    if security.auth_token_file:
        raise InvalidArgumentError(
            "auth_token_file does not go together with a cloud's port, to which the cloud sends no tokens; fix: leave one out"
        )
    if security.http_tls is not None and security.http_tls.mutual:
        raise InvalidArgumentError(
            "http_use_ssl_mutual does not go together with a cloud's port, to which the cloud shows no certificate; fix: "
            "leave one out"
        )


def security_of(options: ServeOptions) -> Security:
    """What protects the ports, from the files as they are now.

    Raises:
        InvalidArgumentError: one of them cannot be used.
    """
    return Security(options.security, options.grpc.tls if options.allow_grpc else None)


def _http_options(options: ServeOptions) -> HttpOptions:
    return HttpOptions(
        options.http_max_input_size,
        options.http_header_forward_pattern,
        options.http_response_header_pattern,
        options.allow_ui,
    )


def _overlap(one: str, other: str) -> bool:
    return one == other or not {one, other}.isdisjoint(("0.0.0.0", "::", ""))


def _try_to_bind(endpoint: Endpoint) -> None:
    family, _, _, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # as the services do: connections of a server that just ended are no obstacle
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if endpoint.shared:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(address)


@contextlib.contextmanager
def bind_errors(endpoint: Endpoint) -> Iterator[None]:
    """Say in one sentence why an address cannot be had."""
    where = f"port {endpoint.port} on {endpoint.host}"
    port, address = f"{endpoint.name}_port", f"{endpoint.name}_address"
    try:
        yield
    except socket.gaierror:
        raise InvalidArgumentError(f"'{endpoint.host}' is no address; fix: {address}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UnavailableError(f"{where} is in use by another program; fix: {port}") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise InvalidArgumentError(
                f"this machine does not have the address {endpoint.host}; fix: {address}"
            ) from None
        if error.errno == errno.EACCES:
            raise UnavailableError(f"{where} needs privileges that this user does not have; fix: {port}") from None
        raise UnavailableError(f"cannot listen on {where}: {error}; fix: {port}") from None


class Server:
    """An engine and its open ports.

    Attributes:
        http_port: the port that HTTP listens on, 0 while it does not; likewise grpc_port and metrics_port.
        cloud_ports: likewise, of clouds that are answered, by their names.
    """

    def __init__(self, engine: Engine, options: ServeOptions | None = None) -> None:
        self.engine = engine
        self.options = options or ServeOptions()
        self.http_port = self.grpc_port = self.metrics_port = 0
        self.cloud_ports: dict[str, int] = {}
        self._shared = SystemSharedMemory(self.options.allow_client_shm, engine.max_pending_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._http: list[tuple[HttpServer, HttpApplication]] = []
        self._grpc: GrpcServer | None = None
        self._metrics: tuple[HttpServer, MetricsApplication] | None = None
        self._poller: SystemPoller | None = None
        self._access: AccessLog | None = None
        self._security: Security | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def start(self) -> None:
        """Start the engine if it is not running yet, then open the ports.

        Raises:
            ServerError: an address cannot be had; nothing is left open then.
        """
        check_endpoints(self.options)
        if not self.engine.live():
            self.engine.start()
        for model in self.engine.models():
            names = ", ".join(placement.name for placement in model.placements)
            LOG.debug(
                "%s version %d loaded in %.2f s, instances: %s", model.name, model.version, model.load_seconds, names
            )
        if self.options.access_log is not None:
            self._access = self._open_access_log(self.options.access_log)
        self._loop = _new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving", daemon=True)
        self._thread.start()
        try:
            self._in_loop(self._open())
        except BaseException:
            self.shutdown()
            raise

    def leave(self, timeout: float) -> bool:
        """Leave the ports to other processes that listen on them: accept no more connections, and answer what comes on those
        that there are until their clients close them, as they are told to.

        Args:
            timeout: seconds to wait for that; then they are closed.

        Returns:
            True if nothing was cut off.
        """
        return self._in_loop(self._leave(timeout)) if self._loop is not None else True

    def withdraw(self) -> None:
        """With `options.shutdown_delay_secs`: leave what comes to other replicas, before `shutdown`, so that no request is lost.

        For so long everything is answered as before, but readiness and health say no. Then no more connections are accepted, and
        those that there are close with their next answer, for which `options.exit_timeout_secs` are left.
        """
        if self.options.shutdown_delay_secs > 0:
            self.engine.withdraw()
            LOG.info("Not ready any more, and stopping in %g s", self.options.shutdown_delay_secs)
            time.sleep(self.options.shutdown_delay_secs)
            self.leave(self.options.exit_timeout_secs)

    def shutdown(self, timeout: float | None = None) -> bool:
        """Accept nothing more, answer what is in flight, free the models, and close the HTTP and metrics ports last.

        Until then HTTP answers 503, so that whoever asks for readiness gets an answer.

        Args:
            timeout: seconds to wait, None for `options.exit_timeout_secs`.

        Returns:
            True if everything was answered in time.
        """
        if self._loop is None or self.engine.orphaned:
            return True
        timeout = self.options.exit_timeout_secs if timeout is None else timeout
        timeout = min(timeout, LONGEST_WAIT_SECS)
        deadline = time.monotonic() + timeout
        self.engine.begin_shutdown()
        answered = self._in_loop(self._close_services(timeout))
        drained = self.engine.shutdown(max(0.0, deadline - time.monotonic()))
        sent = self._in_loop(self._close_grpc(max(0.0, deadline - time.monotonic())))
        self._in_loop(self._close_ports())
        self._stop_loop()
        self._shared.close()
        if self._access is not None:
            self._access.close()
        return answered and drained and sent

    def _in_loop(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop_loop(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        loop, self._loop = self._loop, None
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    async def _open(self) -> None:
        engine, options = self.engine, self.options
        security = self._security = security_of(options)
        security.start()
        for endpoint in endpoints(options):
            with bind_errors(endpoint):
                if endpoint.name == "grpc":
                    _try_to_bind(endpoint)  # gRPC itself does not tell why it cannot bind
                    self._grpc = await start_grpc(
                        engine,
                        endpoint.host,
                        endpoint.port,
                        options.grpc,
                        reuse_port=endpoint.shared,
                        shared=self._shared,
                        access=self._access,
                        guard=security.grpc_guard,
                        certificates=security.grpc_certificates,
                    )
                    self.grpc_port = port = self._grpc.port
                elif endpoint.name == "http":
                    self.http_port = port = await self._open_http(
                        endpoint, None, security.http_guard, security.http_certificates
                    )
                elif endpoint.name == "metrics":
                    self._poller = SystemPoller(
                        options.metrics_interval_ms, options.allow_cpu_metrics, options.allow_gpu_metrics
                    )
                    self._poller.start()
                    collector = ServerCollector(engine, self._poller)
                    self._metrics = await start_metrics(
                        collector, endpoint.host, endpoint.port, security.metrics_guard, security.http_certificates
                    )
                    self.metrics_port = port = self._metrics[0].port
                else:
                    cloud = next(cloud for cloud in options.clouds if cloud.name == endpoint.name)
                    routes = CloudRoutes(cloud)
                    guard = security.guard_of_cloud(routes.meant)
                    self.cloud_ports[cloud.name] = port = await self._open_http(endpoint, (cloud, routes), guard)
            LOG.info("Started %s at %s", endpoint.service, replace(endpoint, port=port))

    async def _open_http(
        self,
        endpoint: Endpoint,
        cloud: tuple[Cloud, CloudRoutes] | None = None,
        guard: HttpGuard | None = None,
        certificates: Certificates | None = None,
    ) -> int:
        opened = await start_http(
            self.engine,
            endpoint.host,
            endpoint.port,
            replace(_http_options(self.options), ui=self.options.allow_ui and cloud is None),
            self.options.http,
            reuse_port=endpoint.shared,
            shared=self._shared,
            cloud=cloud,
            metrics=self._metrics[1] if self._metrics is not None else None,
            access=self._access,
            guard=guard,
            certificates=certificates,
        )
        self._http.append(opened)
        return opened[0].port

    def _open_access_log(self, options: AccessLogOptions) -> AccessLog:
        metrics = self.engine.custom_metrics
        lost = "tcli_access_log_lost_lines"
        family = metrics.open(
            lost, "Lines of the access log that could not be written", MetricKind.COUNTER, of_server=True
        )
        return AccessLog(options, metrics.open_series(family, {}, None).increment)

    async def _close_services(self, timeout: float) -> bool:
        """True if HTTP and gRPC answered all that they had accepted."""
        closing = asyncio.gather(self._drain_http(timeout), self._drain_grpc(timeout))
        deadline = time.monotonic() + timeout
        while not (await asyncio.wait((closing,), timeout=1))[0]:
            LOG.info("Waiting for requests in flight, up to %.0f s more", max(0.0, deadline - time.monotonic()))
        return all(closing.result())

    async def _leave(self, timeout: float) -> bool:
        http = [server.leave(timeout) for server, _ in self._http]
        grpc = self._grpc.leave(timeout) if self._grpc is not None else _nothing_left()
        return all(await asyncio.gather(*http, grpc))

    async def _drain_http(self, timeout: float) -> bool:
        for server, _ in self._http:
            server.drain()
        drained = await asyncio.gather(*(server.drained(timeout) for server, _ in self._http))
        for server, _ in self._http:
            if not all(drained):
                server.abort()
        return all(drained)

    async def _drain_grpc(self, timeout: float) -> bool:
        return self._grpc is None or await self._grpc.drain(timeout)

    async def _close_grpc(self, timeout: float) -> bool:
        return self._grpc is None or await self._grpc.close(timeout)

    async def _close_ports(self) -> None:
        if self._security is not None:
            self._security.stop()
        if self._poller is not None:
            self._poller.stop()
        for http, application in self._http:
            http.close()
            application.close()
        if self._metrics is not None:
            metrics, scraping = self._metrics
            metrics.drain()
            await metrics.drained(1)
            metrics.close()
            scraping.close()


async def _nothing_left() -> bool:
    return True


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # no uvloop for Windows
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
