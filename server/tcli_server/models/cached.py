"""A scheduler behind a response cache: what is known is answered at once, and never waits for an instance."""

import itertools
import threading
import time
from collections.abc import Sequence
from functools import partial

from tcli_server.caching.cache import ResponseCache
from tcli_server.caching.key import cache_key
from tcli_server.errors import ServerError, UnavailableError
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason, InferenceRequest, InferenceResponse, Reply
from tcli_server.scheduling import Later, PlacedInstance, Scheduler
from tcli_server.spec import ModelSpec

_QUICK = 1 << 18
"""Bytes, or elements of strings times 64, that are hashed within a fraction of a millisecond."""

_COPIES = itertools.count()


class CachedScheduler:
    """As `Scheduler`, over another one."""

    def __init__(
        self, scheduler: Scheduler, cache: ResponseCache, spec: ModelSpec, statistics: InferenceStatistics
    ) -> None:
        self._scheduler = scheduler
        self._cache = cache
        self._spec = spec
        self._statistics = statistics
        self._lock = threading.Lock()
        self._stopped = False
        self._told = False  # that an answer was too large; once is enough
        self._looking = 0  # requests that are looked up in the pool
        # A model that is loaded anew may answer otherwise, so nothing of its older copies is found.
        self._model = f"{next(_COPIES)} {spec.version} {spec.name}".encode(errors="surrogatepass")

    @property
    def pending(self) -> int:
        """As `Scheduler.pending`."""
        return self._scheduler.pending

    @property
    def idle(self) -> bool:
        """As `Scheduler.idle`."""
        return not self._looking and self._scheduler.idle

    @property
    def unused(self) -> bool:
        """As `Scheduler.unused`."""
        return not self._looking and self._scheduler.unused

    def submit(self, request: InferenceRequest, later: Later | None = None) -> bool:
        """As `Scheduler.submit`."""
        if request.sequence_id:  # its answer depends on what came before, where a step of an ensemble has a state
            return self._scheduler.submit(request, later)
        if _cost(request) <= _QUICK:
            return self._look_up(request, later)
        with self._lock:
            if self._stopped:
                return False
            self._looking += 1
        try:
            self._cache.pool.submit(self._look_up_in_pool, request)
        except RuntimeError:  # the engine is shutting down
            with self._lock:
                self._looking -= 1
            return self._scheduler.submit(request, later)
        return True

    def _look_up_in_pool(self, request: InferenceRequest) -> None:
        try:
            if not self._look_up(request, None):
                request.fail(UnavailableError("the model was stopped"), FailureReason.REJECTED)
        except ServerError as error:
            request.fail(error)
        except Exception as error:
            LOG.exception("a request to '%s' could not be looked up", self._spec.name)
            request.fail(UnavailableError(f"{type(error).__name__}: {error}"))
        finally:
            with self._lock:
                self._looking -= 1

    def _look_up(self, request: InferenceRequest, later: Later | None) -> bool:
        if request.ended:
            return True
        start_ns = time.monotonic_ns()
        key = cache_key(self._model, request)
        outputs = self._cache.get(key)
        took_ns = time.monotonic_ns() - start_ns
        if outputs is not None:
            request.queue_ns = start_ns
            request.observer = _Hit(self._statistics, took_ns)
            response = InferenceResponse(
                request.model_name, self._spec.version, request.id, dict(outputs), spec=self._spec
            )
            request.send(response)
            return True
        reply = request.reply
        request.reply = partial(self._keep, key, took_ns, reply)
        if self._scheduler.submit(request, later):
            return True
        request.reply = reply
        return False

    def _keep(self, key: bytes, lookup_ns: int, reply: Reply, response: InferenceResponse) -> None:
        try:
            if response.error is None:
                start_ns = time.monotonic_ns()
                if not self._cache.put(key, response.outputs) and not self._told:
                    self._told = True
                    text = "Failed to insert key into response cache: an answer of '%s' is larger than all its %d bytes"
                    LOG.warning(text, self._spec.name, self._cache.size)
                self._statistics.cache_miss(lookup_ns + time.monotonic_ns() - start_ns)
        except Exception:  # whoever asked gets an answer all the same
            LOG.exception("an answer of '%s' could not be kept", self._spec.name)
        reply(response)

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """As `Scheduler.abandon`."""
        self._scheduler.abandon(sequence_id, connection)

    def resize(self, instances: Sequence[PlacedInstance]) -> None:
        """As `Scheduler.resize`."""
        self._scheduler.resize(instances)

    def stop_if_unused(self) -> bool:
        """As `Scheduler.stop_if_unused`."""
        with self._lock:
            self._stopped = self._stopped or (not self._looking and self._scheduler.stop_if_unused())
            return self._stopped

    def stop(self) -> None:
        """As `Scheduler.stop`."""
        self._scheduler.stop()

    def join(self, timeout: float | None = None) -> bool:
        """As `Scheduler.join`."""
        return self._scheduler.join(timeout)


class _Hit:
    """As `Observer`, of a request that is answered from the cache."""

    def __init__(self, statistics: InferenceStatistics, lookup_ns: int) -> None:
        self._statistics = statistics
        self._lookup_ns = lookup_ns

    def success(self, request: InferenceRequest, end_ns: int) -> None:
        """As `Observer.success`."""
        self._statistics.cache_hit(request, self._lookup_ns, end_ns)

    def failure(self, request: InferenceRequest, reason: FailureReason, end_ns: int) -> None:
        """As `Observer.failure`."""
        self._statistics.failure(request, reason, end_ns)


def _cost(request: InferenceRequest) -> int:
    arrays = request.inputs.values()
    return sum([array.size * 64 if array.dtype.hasobject else array.nbytes for array in arrays])
