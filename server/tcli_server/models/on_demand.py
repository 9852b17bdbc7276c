"""`on-demand`: every model is known and none is loaded, until the first request for it, which waits for the load."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from tcli_server.caching.cache import ResponseCache
from tcli_server.errors import NotFoundError, ServerError, UnavailableError
from tcli_server.hardware.allocator import keep_large_blocks_apart
from tcli_server.models.awaited import Awaited
from tcli_server.models.catalog import Catalog
from tcli_server.models.control import ModelControl
from tcli_server.models.demand import Demand, Told
from tcli_server.models.description import Counted
from tcli_server.models.eviction import Place, Room, UnwantedError
from tcli_server.models.footprints import size_on_disk
from tcli_server.models.load_watch import LoadWatch
from tcli_server.models.model import Model
from tcli_server.models.on_demand_options import OnDemandOptions
from tcli_server.models.tallies import Tallies
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason, InferenceRequest
from tcli_server.scheduling.deadlines import DeadlineWatch

_TICK_SECS = 1.0
_SHORTEST_TICK_SECS = 0.02
_LONGEST_WAIT_SECS = 100 * 365 * 86400.0
_EXITING = "Server exiting"

Submit = Callable[[InferenceRequest], None]


class Budget(Protocol):
    """As `PendingBytes`."""

    @property
    def held(self) -> int: ...

    def charge(self, request: InferenceRequest) -> bool: ...

    def release(self, request: InferenceRequest) -> None: ...

    def refusal(self, request: InferenceRequest) -> UnavailableError: ...


class Unloaded(NamedTuple):
    """A model that was evicted, and what it has counted."""

    name: str
    version: int
    statistics: InferenceStatistics

    @property
    def identifier(self) -> str:
        """As `Model.identifier`: its name, as there are no namespaces here."""
        return self.name


class OnDemand(Demand, LoadWatch):
    """Loads models when they are asked for, and hands them what has waited, in its order.

    A model that was just loaded is `held`: whoever finds it goes to the end of those that wait, until all of these are
    handed over. What waits is cancelled, times out and is refused like everything else.

    Args:
        submit: takes a request once more from the beginning.
        look_secs: how often the repositories are looked at for models that came or went; 0 for never.
        budget: bytes of inputs that may wait.
        cache: the responses that are kept, which like these are not the models' memory.

    Attributes:
        room: where models are let in.
        tallies: what was loaded, and what waited for it.
    """

    def __init__(
        self,
        control: ModelControl,
        submit: Submit,
        options: OnDemandOptions,
        look_secs: float,
        budget: Budget,
        cache: ResponseCache | None,
    ) -> None:
        super().__init__(control.registry)
        keep_large_blocks_apart()
        self._budget = budget
        self._cache = cache
        self.room = Room(control, options.memory_budget, options.pin_models, options.load_wait_secs, self._apart)
        self.tallies = Tallies()
        self._counted: dict[tuple[str, int], InferenceStatistics] = {}  # of models that were evicted
        self._control = control
        self._submit = submit
        self._wait_ns = int(min(options.load_wait_secs, _LONGEST_WAIT_SECS) * 1e9)
        self._most_waiting = options.load_wait_requests
        self._idle_secs = options.idle_unload_secs
        self._look_secs = look_secs or math.inf
        self._pinned = options.pin_models
        self._lock = threading.Lock()
        self._catalog = Catalog()
        self._began_ns: dict[str, int] = {}  # when the last load of each model began
        self._places: dict[str, Place] = {}  # of loads under way
        self._waiting: dict[str, Awaited] = {}  # of each model that is wanted and not there
        self._count = 0
        self._watch = DeadlineWatch(self._expire)
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="on demand", daemon=True)
        control.loader.watch = self

    # --- lifecycle ---

    def start(self) -> Sequence[str]:
        """As `Demand.start`: learn which models there are, and begin to look after those that will be loaded.

        Raises:
            NotFoundError: a repository cannot be read, or a pinned model is not there.
        """
        self._look()
        absent = [name for name in self._pinned if name not in self._catalog]
        if absent:
            raise NotFoundError(f"--pin-model: there is no model '{absent[0]}' in the model repository")
        self._keeper.start()
        return self._pinned

    def stop(self) -> None:
        """As `Demand.stop`."""
        self._ended.set()
        self.room.stop()
        with self._lock:
            waiting = [awaited.take() for awaited in self._waiting.values()]
            self._waiting.clear()
            self._count = 0
        for requests, callers in waiting:
            _refuse(requests, callers, _EXITING)
        self._watch.stop()

    def _apart(self) -> int:
        """Bytes that are held whichever models are loaded."""
        return self._budget.held + (self._cache.use().used_bytes if self._cache is not None else 0)

    # --- what is there ---

    def check(self, name: str, version: str, error: ServerError) -> None:
        """As `Demand.check`."""
        with contextlib.suppress(NotFoundError, UnavailableError):
            self._registry.find(name, version)
            return  # it has come, or is about to go or to be opened for everybody
        if not self._catalog.offers(name, version):
            known = name in self._catalog
            raise (
                NotFoundError(f"Request for unknown model: '{name}' version {version} is not found") if known else error
            )
        refusal = self._catalog.refusal(name)
        if refusal is not None:
            raise refusal

    def ready(self) -> bool:
        """As `Demand.ready`: whether the pinned models are; whatever requests ask for does not make the server unready."""
        ready = [self._registry.ready(name) for name in self._pinned]
        return all(versions and all(model.fit for model in versions) for versions in ready)

    def counted(self, name: str) -> Sequence[Counted] | None:
        """As `Demand.counted`."""
        unloaded = [Unloaded(*key, counters) for key, counters in self._counted.copy().items()]
        counted: list[Counted] = [*self._registry.models(), *unloaded]
        if name in self._catalog and all(model.name != name for model in counted):
            return None
        return sorted(counted, key=lambda model: (model.name, model.version))

    @property
    def waiting(self) -> int:
        """Requests and other callers that wait for a model now."""
        return self._count

    # --- waiting ---

    def take(self, request: InferenceRequest, error: ServerError) -> bool:
        """As `Demand.take`."""
        try:
            self.check(request.model_name, request.model_version, error)
            if not self._budget.charge(request):
                raise self._budget.refusal(request)
            if not request.ended:
                return self._take(request, error)
            self._budget.release(request)
        except ServerError as refusal:
            request.fail(refusal, FailureReason.REJECTED)
        return True

    def _take(self, request: InferenceRequest, error: ServerError) -> bool:
        name = request.model_name
        with self._lock:
            model = self._there(name, request.model_version, error)
            if model is not None and model.open:
                return False
            awaited, begin = self._join(name, held=model is not None and model.held)
            awaited.add(request, self._wait_ns)
            deadline_ns = request.deadline_ns
        if begin:
            self._begin(name)
        if request.ended and request.queue is awaited:  # its end, before it had a place here, could not give it back
            awaited.release(request)
        self._watch.notice(deadline_ns)
        return True

    def await_load(self, name: str, version: str) -> None:
        """As `Demand.await_load`."""
        waiting = self._want(name, version, NotFoundError(f"Request for unknown model: '{name}' is not found"))
        if isinstance(waiting, Future):
            waiting.result()

    def when_loaded(self, name: str, version: str, tell: Callable[[Model], Told]) -> "Told | Future[Told]":
        """As `Demand.when_loaded`."""
        waiting: Model | Future[None]
        try:
            waiting = self._registry.find(name, version)
        except (NotFoundError, UnavailableError) as error:
            self.check(name, version, error)
            waiting = self._want(name, version, error)
        if isinstance(waiting, Model):
            return tell(waiting)
        told: Future[Told] = Future()

        def answer(done: "Future[None]") -> None:
            if not told.set_running_or_notify_cancel():  # nobody waits for it any more
                return
            try:
                done.result()  # cancelled is only what nobody waits for
                told.set_result(tell(self._registry.find(name, version)))
            except Exception as failure:
                told.set_exception(failure)

        waiting.add_done_callback(answer)
        told.add_done_callback(lambda done: self._left(name, waiting) if done.cancelled() else None)
        return told

    def _left(self, name: str, waiting: "Future[None]") -> None:
        """A caller waits no more."""
        waiting.cancel()
        with self._lock:
            awaited = self._waiting.get(name)
            if awaited is not None and awaited.forget(waiting):
                self._count -= 1

    def _want(self, name: str, version: str, error: ServerError) -> "Model | Future[None]":
        """The model if it is there, else have it loaded; the future's error says why it is not there."""
        with self._lock:
            model = self._there(name, version, error)
            if model is not None:
                return model
            awaited, begin = self._join(name, held=False)
            deadline_ns, future = awaited.add_caller(self._wait_ns)
        if begin:
            self._begin(name)
        self._watch.notice(deadline_ns)
        return future

    def _there(self, name: str, version: str, error: ServerError) -> Model | None:
        """The model, if it is there at this moment; with the lock held.

        Raises:
            ServerError: it is not, and cannot be waited for.
        """
        if self._ended.is_set():
            raise UnavailableError(_EXITING)
        try:
            return self._registry.find(name, version)
        except (NotFoundError, UnavailableError) as found:
            if name not in self._catalog:
                raise error from None
            if name not in self._waiting and self._registry.ready(name):
                raise found from None  # it is loaded, and has no such version
            return None

    def _join(self, name: str, held: bool) -> tuple[Awaited, bool]:
        """Those that wait for a model, and whether it has to be loaded for them; with the lock held.

        Args:
            held: whoever has loaded it is about to hand over what waits.

        Raises:
            UnavailableError: too many wait already, or the model must not be loaded now.
        """
        if self._count >= self._most_waiting:
            raise UnavailableError(
                f"{self._count} requests wait for models to be loaded already (--load-wait-requests): try again later"
            )
        awaited = self._waiting.get(name)
        if awaited is None:
            refusal = None if held else self._catalog.refusal(name)
            if refusal is not None:
                raise refusal
            awaited = self._waiting[name] = Awaited(self._gone)
        begin = not held and not awaited.loading
        awaited.loading = awaited.loading or begin
        self._count += 1
        return awaited, begin

    def _gone(self, awaited: Awaited, request: InferenceRequest) -> None:
        with self._lock:
            if request.queue is awaited:
                request.queue = None
                awaited.requests.remove(request)
                self._count -= 1

    def _expire(self) -> int:
        """End what has waited too long; when to look again, 0 for not before the next `notice`."""
        now_ns = time.monotonic_ns()
        with self._lock:
            expired = [(name, *awaited.take_expired(now_ns)) for name, awaited in self._waiting.items()]
            self._count -= sum(len(requests) + len(callers) for _, requests, callers in expired)
            deadlines = [awaited.next_deadline_ns() for awaited in self._waiting.values()]
        for name, requests, callers in expired:
            _refuse(requests, callers, f"Request timeout expired while it waited for model '{name}' to be loaded")
        return min(filter(None, deadlines), default=0)

    # --- loading ---

    def _begin(self, name: str) -> None:
        self._control.load(name, None, {}, demanded=True).add_done_callback(
            lambda done: self._over(name, done.exception())
        )

    def _over(self, name: str, error: BaseException | None) -> None:
        """A load that requests asked for is over."""
        if error is None:
            self._catalog.works(name)
            self.published(name)
        reason = self._catalog.failed(name, error) if error is not None else ""
        if error is not None and not isinstance(error, UnwantedError):
            LOG.warning("%s", error)
        with self._lock:
            awaited = self._waiting.get(name)
            if awaited is None:  # the server ends
                return
            again = (error is None or isinstance(error, UnwantedError)) and len(awaited) > 0
            if not again:
                del self._waiting[name]
            requests, callers = awaited.take() if not again else ([], [])
            self._count -= len(requests) + len(callers)
        if again:  # some came only when it was given up, or stopped again
            self._begin(name)
        _refuse(requests, callers, reason)

    def published(self, name: str) -> None:
        """As `LoadWatch.published`: give a model what has waited for it, then open it for everybody."""
        while True:
            with self._lock:
                awaited = self._waiting.get(name)
                requests, callers = awaited.take() if awaited is not None else ([], [])
                self._count -= len(requests) + len(callers)
                if not requests and not callers:
                    for model in self._registry.loaded(name):
                        model.let_go()
                    if awaited is not None and not awaited.loading:
                        del self._waiting[name]
                    return
            for request in requests:
                self._deliver(request)
            for future in callers:
                if future.set_running_or_notify_cancel():
                    future.set_result(None)

    def _deliver(self, request: InferenceRequest) -> None:
        waited_ns = time.monotonic_ns() - request.arrival_ns
        if request.timeout_us:
            request.timeout_us = max(1, request.timeout_us - waited_ns // 1000)
        self.tallies.waited(request.model_name, waited_ns)
        try:
            model = self._registry.find(request.model_name, request.model_version)
            if not model.submit(request, leased=True):
                self._submit(request)
        except ServerError as error:
            request.fail(error)
        except Exception as error:
            LOG.exception("a request to '%s' could not be submitted", request.model_name)
            request.fail(UnavailableError(f"{type(error).__name__}: {error}"))

    # --- what is told of loads ---

    def before(self, name: str, family: Sequence[str], pushed_bytes: int, demanded: bool) -> None:
        """As `LoadWatch.before`: make room.

        Raises:
            UnwantedError: all that waited for it has given up.
            UnavailableError: there is none, or a model that it is made of was unloaded by request.
        """
        with self._lock:
            awaited = self._waiting.get(name)

        def wanted() -> bool:
            return not demanded or awaited is None or len(awaited) > 0

        if not wanted():
            raise UnwantedError(f"nobody waits for model '{name}' any more")
        for step in family[:-1]:
            if not demanded:
                self._catalog.turn_on(step)
            elif (refusal := self._catalog.refusal(step)) is not None:
                raise refusal
        for model in family:
            folders = self._control.folders(model)
            if len(folders) == 1:
                self.room.footprints.note_files(model, size_on_disk(folders[0], self._control.config(model)))
        if pushed_bytes:
            self.room.footprints.note_files(name, pushed_bytes)
        place = self.room.make(family, wanted)
        with self._lock:
            self._places[name] = place

    @contextlib.contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """As `LoadWatch.loading`: measure the model, and count."""
        self._began_ns[name] = time.monotonic_ns()
        there = (
            name in self._registry.present()
        )  # so that what it takes cannot be told from what goes with the old copy
        try:
            with contextlib.nullcontext() if there else self.room.footprints.loading(name):
                yield
        except BaseException:
            self.tallies.failed(name)
            raise

    def loaded(self, models: Sequence[Model]) -> None:
        """As `LoadWatch.loaded`: who finds them has to wait until those are served who came before."""
        for name in {model.name for model in models}:
            self.tallies.loaded(name, time.monotonic_ns() - self._began_ns[name])
        for model in models:
            model.hold()
            before = self._counted.pop((model.name, model.version), None)
            if before is not None and not self._registry.loaded(model.name):
                model.statistics.go_on_from(before)

    def evicted(self, models: Sequence[Model]) -> None:
        """As `LoadWatch.evicted`: keep what they counted."""
        for model in models:
            self._counted[model.name, model.version] = model.statistics

    def after(self, name: str) -> None:
        """As `LoadWatch.after`."""
        with self._lock:
            place = self._places.pop(name, None)
        if place is not None:
            self.room.settle(place)
            self.room.tidy()

    # --- load and unload requests ---

    def turn_on(self, name: str) -> None:
        """As `Demand.turn_on`: whatever was, the model may be loaded."""
        self._catalog.turn_on(name)

    def turn_off(self, name: str) -> None:
        """As `Demand.turn_off`: the model answers nothing more until a load request comes."""
        self._catalog.turn_off(name)
        for key in self._counted.copy():
            if key[0] == name:
                self._counted.pop(key, None)

    # --- looking after what is there ---

    def _keep(self) -> None:
        pause = max(_SHORTEST_TICK_SECS, min(_TICK_SECS, self._idle_secs / 4 or _TICK_SECS))
        next_look = time.monotonic() + self._look_secs
        while not self._ended.wait(pause):
            try:
                if self._idle_secs:
                    self.room.unload_idle(self._idle_secs)
                else:
                    self.room.look()
                self.room.tidy()
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + self._look_secs
                    self._look()
            except ServerError as error:  # the repository is away for a moment
                LOG.warning("the model repository cannot be looked at: %s", error)
            except Exception:
                LOG.exception("models could not be looked after")

    def _look(self) -> None:
        self._catalog.update(self._control.folders_on_disk())


def _refuse(requests: Sequence[InferenceRequest], callers: Sequence["Future[None]"], reason: str) -> None:
    for request in requests:
        request.fail(UnavailableError(reason), FailureReason.REJECTED)
    for future in callers:
        if future.set_running_or_notify_cancel():
            future.set_exception(UnavailableError(reason))
