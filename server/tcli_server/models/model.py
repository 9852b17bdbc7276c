"""One version of a model, loaded: its configuration, instances, scheduler and statistics."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import AnsweringInstance, Placement
from tcli_server.caching.cache import ResponseCache
from tcli_server.errors import InvalidArgumentError, UnsupportedError
from tcli_server.models.cached import CachedScheduler
from tcli_server.models.raw_input import shape_raw_input
from tcli_server.models.validation import Validator
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.repository import INITIAL_STATE_FOLDER
from tcli_server.repository.identifiers import identifier
from tcli_server.request import InferenceRequest
from tcli_server.scheduling import Later, PlacedInstance, Scheduler
from tcli_server.scheduling.choose import scheduler_for
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.spec import ModelSpec


class Model:
    """A loaded model version that takes requests until it is stopped.

    Args:
        find: the model that answers for a name and a version, for the steps of an ensemble.
        cache: keeps the model's answers, if its configuration wants that.
        limiter: gives its instances the permission to run; None where they always may.
        namespace: its repository, where a name alone says not enough.

    Attributes:
        identifier: what it is known by; its name where there are no namespaces.
        config: complete and normalised; read only.
        spec: what requests are judged by.
        statistics: counters since loading.
        load_seconds: how long loading took.
        is_cached: whether its answers are kept.

    Raises:
        InvalidArgumentError: the instances need more of a resource than there is; they are closed then.
        UnavailableError: the machine gives no more threads; the instances are closed then.
    """

    def __init__(
        self,
        config: ModelConfig,
        spec: ModelSpec,
        folder: Path,
        instances: Sequence[PlacedInstance],
        load_seconds: float,
        find: "Callable[[str, str], Model]",
        cache: ResponseCache | None = None,
        limiter: RateLimiter | None = None,
        namespace: str = "",
    ) -> None:
        self.name: str = config.name
        self.namespace = namespace
        self.identifier = identifier(namespace, config.name)
        self.version = int(spec.version)
        self.config = config
        self.folder = folder
        self.spec = spec
        self.load_seconds = load_seconds
        self.statistics = InferenceStatistics()
        self._validator = Validator(spec)
        self._instances = list(instances)
        self._scheduler: Scheduler = scheduler_for(
            config, spec, instances, self.statistics, folder / INITIAL_STATE_FOLDER, find, limiter
        )
        self.is_cached = cache is not None and config.response_cache.enable
        if cache is not None and self.is_cached:
            self._scheduler = CachedScheduler(self._scheduler, cache, spec, self.statistics)
        elif config.response_cache.enable:
            LOG.warning("'%s' wants its responses cached, but the server has no cache: use --cache-config", config.name)
        self._leases = 0
        self._stopped = False
        self._shut = False  # nothing is taken but what is leased
        self._no_leases = threading.Condition()

    @property
    def is_placeholder(self) -> bool:
        """Whether its weights are only a stand-in, so that its answers mean nothing."""
        return "tcli_placeholder" in self.config.parameters or (self.folder / "PLACEHOLDER").exists()

    @property
    def placements(self) -> list[Placement]:
        """Where its instances run."""
        return [placed.placement for placed in self._instances]

    @property
    def instances(self) -> Sequence[PlacedInstance]:
        """What it runs on."""
        return self._instances

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""
        return self._scheduler.pending

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._leases and self._scheduler.idle

    @property
    def fit(self) -> bool:
        """Whether an instance can run a batch now, or there are none to do so."""
        instances = [placed.instance for placed in self._instances]
        return not instances or any(not isinstance(one, AnsweringInstance) or one.fit for one in instances)

    def check_ready(self) -> "list[Future[bool]]":
        """What the model itself says of whether it is ready, for each instance that has a word on it."""
        instances = [placed.instance for placed in self._instances]
        checks = [one.check_ready() for one in instances if isinstance(one, AnsweringInstance) and one.fit]
        return [check for check in checks if check is not None]

    @property
    def unused(self) -> bool:
        """Nothing waits or runs, and no sequence is open."""
        return not self._leases and self._scheduler.unused

    @property
    def held(self) -> bool:
        """Whether it is held, and not stopped."""
        return self._shut and not self._stopped

    @property
    def open(self) -> bool:
        """Whether it takes requests from everybody."""
        return not self._shut

    def hold(self) -> None:
        """Take `leased` requests only until `let_go`, so that those that have waited for the model are the first."""
        self._shut = True

    def let_go(self) -> None:
        """Take requests from everybody, unless it is stopped."""
        with self._no_leases:
            self._shut = self._stopped

    def lease(self) -> bool:
        """Go on taking `leased` requests until `give_back`, even if `stop` comes in between; False if it has come."""
        with self._no_leases:
            if self._stopped:
                return False
            self._leases += 1
            return True

    def give_back(self) -> None:
        """End a lease."""
        with self._no_leases:
            self._leases -= 1
            if self._leases or not self._stopped:
                return
            self._no_leases.notify_all()
        self._scheduler.stop()

    def submit(self, request: InferenceRequest, later: Later | None = None, *, leased: bool = False) -> bool:
        """Take over a request, which will end; False, and nothing done, if the model is stopped.

        Args:
            leased: whoever calls has a lease.

        Raises:
            InvalidArgumentError: the request does not fit the model, or not the sequence.
            UnsupportedError: the model is decoupled, and the caller takes one response only.
        """
        if self._shut and not leased:
            return False
        if self.spec.decoupled and not request.takes_many:
            raise UnsupportedError(
                f"this request doesn't support models with decoupled transaction policy: '{self.name}' gives any number of "
                "responses. Fix: use ModelStreamInfer, generate_stream or, in Python, infer_stream"
            )
        if request.raw_input is not None:
            shape_raw_input(request, self.spec)
        self._validator.check(request)
        request.observer = self.statistics
        distributions = self.statistics.distributions
        if distributions is not None and distributions.first_response is not None:
            distributions.watch_first_response(request)
        try:
            return self._scheduler.submit(request, later)
        except InvalidArgumentError:
            request.observer = None  # never taken: as for one that is not valid, Triton counts nothing
            raise

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """Nobody will go on with this sequence."""
        self._scheduler.abandon(sequence_id, connection)

    def resize(self, config: ModelConfig, instances: Sequence[PlacedInstance]) -> None:
        """Run on these instances from now on, which `config`, otherwise the same as before, describes.

        Raises:
            InvalidArgumentError: the new instances need more of a resource than there is.
            UnavailableError: the machine gives no more threads.
            After either the new instances are closed, and the old ones go on.
        """
        self._scheduler.resize(instances)
        self._instances = list(instances)
        self.config = config

    def stop_if_unused(self) -> bool:
        """Stop at this very moment, unless it is used; whether it did."""
        with self._no_leases:
            if self._leases or self._stopped or not self._scheduler.stop_if_unused():
                return False
            self._stopped = self._shut = True
            return True

    def stop(self) -> None:
        """Take nothing more; what is queued or leased is still answered."""
        with self._no_leases:
            self._stopped = self._shut = True
            if self._leases:
                return
        self._scheduler.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until everything is answered and the instances are closed; True if that happened in `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._no_leases:
            if not self._no_leases.wait_for(lambda: not self._leases, timeout):
                return False
        return self._scheduler.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
