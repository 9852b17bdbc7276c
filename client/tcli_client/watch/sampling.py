"""Reads what a V2 server says of itself: the repository's index, statistics and the metrics page."""

import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

import httpx

from tcli_client.address import DEFAULT_PORTS, Address, parse_address
from tcli_client.credentials import Credentials
from tcli_client.errors import AnswerError, UrlError, WrongProtocolError
from tcli_client.http import HttpTransport
from tcli_client.transport import Transport
from tcli_client.watch.bounded import BoundedTransport
from tcli_client.watch.metrics_page import MetricsPageError, read_page
from tcli_client.watch.sample import Key, Machine, ModelSample, Sample

MOST_BYTES = 32 << 20
"""Of an answer: statistics or metrics of some ten thousand models."""

_METRICS_PORT = 8002
_NOT_ALLOWED = ("401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED")
"""Statuses of a server that tells only some clients."""


class Watcher:
    """Takes samples of one server. Not for several threads at a time.

    Whatever the server sends, a sample takes at most some `seconds` for each of its three questions, and bounded memory.

    Args:
        url: see `parse_address`.
        metrics_url: of the metrics page; empty for none.
        seconds: to wait for each answer.

    Raises:
        UrlError: one of them is not an address.
        CredentialsError: a file that the environment names cannot be used.
    """

    def __init__(self, url: str, metrics_url: str = "", seconds: float = 5.0) -> None:
        self.address = parse_address(url)
        self._server = _connected(self.address, seconds)
        self._page = _page_url(metrics_url)
        headers = Credentials.of_environment().headers
        self._client = httpx.Client(timeout=seconds, headers=headers, transport=_bounded(seconds))

    def sample(self) -> Sample:
        """Ask.

        What the server does not have is left out, and said in the notes.

        Raises:
            ServerUnreachableError, WrongProtocolError, RequestTimeoutError: there is no answer.
            AnswerError: it does not let this client know.
        """
        notes: list[str] = []
        refusals: list[AnswerError] = []
        states = self._states(notes, refusals)
        moment = time.monotonic()
        statistics = self._statistics(notes, refusals)
        page, machine = self._metrics(notes)
        if statistics is None:
            if not (page or states):
                if refusals:
                    raise refusals[0]
                raise WrongProtocolError(
                    f"{self.address} tells nothing of models: no index, no statistics, no metrics",
                    "check the port: a server's HTTP port (8000) or grpc:// and its gRPC port (8001)",
                )
            if not page:
                notes.append("neither statistics nor metrics: only states are known")
            counted: Mapping[Key, ModelSample] = page
        else:
            counted = {key: _with_page(model, page.get(key)) for key, model in statistics.items()}
        models = {
            key: replace(counted.get(key, ModelSample(is_counted=False)), state=state, reason=reason)
            for key, (state, reason) in states.items()
        }
        models |= {key: model for key, model in counted.items() if key not in models}
        return Sample(moment, models, machine, tuple(notes))

    def close(self) -> None:
        """Give back the connections."""
        self._server.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _states(self, notes: list[str], refusals: list[AnswerError]) -> dict[Key, tuple[str, str]]:
        try:
            return {(row.name, row.version): (row.state, row.reason) for row in self._server.index()}
        except AnswerError as problem:
            refusals += [problem] if problem.status in _NOT_ALLOWED else []
            notes.append(f"no states of models, as the server gives no index ({problem})")
        except WrongProtocolError:  # also what a server answers that has no such path
            notes.append("no states of models, as the server has no index that can be read")
        return {}

    def _statistics(self, notes: list[str], refusals: list[AnswerError]) -> dict[Key, ModelSample] | None:
        """None where the server has none."""
        try:
            rows = self._server.statistics()
        except AnswerError as problem:
            refusals += [problem] if problem.status in _NOT_ALLOWED else []
            notes.append(f"counters of the metrics page only, as the server gives no statistics ({problem})")
            return None
        except WrongProtocolError:
            notes.append("counters of the metrics page only, as the server has no statistics that can be read")
            return None
        return {
            (row.name, row.version): ModelSample(
                requests=row.inference_stats.success.count,
                failures=row.inference_stats.fail.count,
                inferences=row.inference_count,
                executions=row.execution_count,
                request_ns=row.inference_stats.success.ns,
                queue_ns=row.inference_stats.queue.ns,
            )
            for row in rows
        }

    def _metrics(self, notes: list[str]) -> tuple[dict[Key, ModelSample], Machine]:
        if not self._page:
            notes.append(
                "no metrics page: no pending requests, percentiles, CPU and GPU; say where it is with --metrics-url"
            )
            return {}, Machine()
        try:
            response = self._client.get(self._page)
            if not response.is_success:
                raise MetricsPageError(f"status {response.status_code}")
            return read_page(response.content.decode(errors="replace"))  # whatever encoding it says
        except httpx.TimeoutException:
            reason = "no answer in time"
        except (httpx.HTTPError, MetricsPageError) as problem:
            reason = str(problem).partition("] ")[2] or str(problem)
        notes.append(f"statistics only, as {self._page} cannot be read: {reason}")
        return {}, Machine()


def guessed_metrics_url(address: Address) -> str:
    """Where a server's metrics page probably is: as far above its port as Triton's is; empty where that is not to be guessed.

    Behind TLS or a prefix stands a proxy, which has no such port.
    """
    if address.tls or address.path or address.protocol == "local":
        return ""
    port = address.port + _METRICS_PORT - DEFAULT_PORTS[address.protocol]
    return f"http://{replace(address, port=port).host_and_port}/metrics" if port < 1 << 16 else ""


def _connected(address: Address, seconds: float) -> Transport:
    if address.protocol == "grpc":
        from tcli_client.grpc import GrpcTransport  # grpcio is slow to import and HTTP does not need it

        return GrpcTransport(address, seconds, MOST_BYTES)
    return HttpTransport(address, seconds, _bounded(seconds))


def _bounded(seconds: float) -> BoundedTransport:
    credentials = Credentials.of_environment()
    return BoundedTransport(MOST_BYTES, seconds, credentials.ssl_context() if credentials.is_for_tls else None)


def _page_url(text: str) -> str:
    """`host:port` and `http://host:port` mean the page where Triton has it."""
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as problem:
        raise UrlError(f"'{text}' is not the address of a metrics page: {problem}", "write host:port") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UrlError(f"'{text}' is not the address of a metrics page", "write host:port or http://host:port/metrics")
    return str(parsed if parsed.path != "/" else parsed.copy_with(path="/metrics"))


def _with_page(model: ModelSample, page: ModelSample | None) -> ModelSample:
    """Counters from the statistics, which are all of one moment, and the rest from the page."""
    if page is None:
        return model
    return replace(model, pending=page.pending, durations=page.durations, quantiles=page.quantiles)
