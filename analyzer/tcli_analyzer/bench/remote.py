"""Configurations of a model on a server, each given to it through the load API, one after the other."""

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.inputs import Source
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.flaws import judged
from tcli_analyzer.measuring.stopping import unless_stopped
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.remote.batches import check_batches
from tcli_analyzer.remote.errors import ForeignChangeError, RemoteError, ServerGoneError
from tcli_analyzer.remote.generator import Generator
from tcli_analyzer.remote.guardian import Charge, Guardian, GuardianError, Restoration
from tcli_analyzer.remote.loaded import as_json, differences, loaded_config
from tcli_analyzer.remote.loading import load
from tcli_analyzer.remote.mark import Mark, mark_of, marked
from tcli_analyzer.remote.start import Start, look
from tcli_analyzer.variant import VariantDiedError
from tcli_client import AnswerError, ClientError, RequestTimeoutError, ServerUnreachableError, UnavailableError, connect
from tcli_client.address import Protocol, parse_address
from tcli_server.errors import ServerError
from tcli_server.trial import Verdict

_T = TypeVar("_T")

ANSWER_SECONDS = 60.0
"""For which an answer is waited, to anything but a load."""

BACK_SECONDS = 120.0
"""For which a server that ended is waited for."""

GUARDIAN_SECONDS = 600.0
"""For which the original is tried to be put back on a server that does not answer."""

_FRESH_WARM_UP_SECONDS = 1.0
"""Of load after the model was loaded anew: what it does for the first time is slow."""
_LOOK_SECONDS = 0.2
_COUNTED_LATER = 32
"""Requests that a server may have answered a moment before it counts them."""


class RemoteBench:
    """Measures a model on a server, from `__enter__` until `__exit__`, which has what was loaded before put back.

    Args:
        url, protocol: as `tcli_client.connect`.
        source: of the requests; may be set until the first visit, as shapes are known only after `__enter__`.
        stop: set it, from any thread, to give up whatever goes on.
        as_is: change nothing on the server; only its current configuration can be visited.
        log: where is written what is left to do if the server does not come back; None for a file among the temporary ones.
        back_seconds, guardian_seconds: instead of `BACK_SECONDS` and `GUARDIAN_SECONDS`.

    Attributes:
        complete: the configuration that the analysis begins with, once entered.
        described: False where the server tells no configurations, and `complete` was made from the model's metadata.
        restoration: how putting back what was loaded before went, after `__exit__`; None where there was nothing to put back.
        others: about how many requests of others the server counted during visits.

    Raises:
        RemoteError: on entering, and from visits: nothing more can be measured.
    """

    def __init__(
        self,
        url: str,
        model: str,
        stop: threading.Event,
        source: Source | None = None,
        protocol: Protocol | None = None,
        as_is: bool = False,
        log: Path | None = None,
        back_seconds: float = BACK_SECONDS,
        guardian_seconds: float = GUARDIAN_SECONDS,
    ) -> None:
        self.address = parse_address(url, protocol)
        self.model = model
        self.source = source
        self.as_is = as_is
        self.complete = ModelConfig()
        self.described = True
        self.restoration: Restoration | None = None
        self.others = 0
        self._stop = stop
        self._mark = Mark()
        self._log = log or Path(tempfile.gettempdir()) / f"tcli-analyze-{self._mark.id}.log"
        self._back_seconds = back_seconds
        self._guardian_seconds = guardian_seconds
        self._server = connect(str(self.address), timeout=ANSWER_SECONDS)
        self._original: ModelConfig | None = None
        self._guardian: Guardian | None = None
        self._generator: Generator | None = None
        self._applied: ModelConfig | None = None
        self._configuration: Configuration | None = None
        self._is_fresh = False

    def __enter__(self) -> Self:
        try:
            self._begin(self._asked(lambda: look(self._server, self.model, self.as_is, self._mark, self._stop)))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_generator()
        if self._guardian is not None:
            self.restoration = self._guardian.restore()
        self._server.close()

    @property
    def guardian(self) -> int | None:
        """The process that puts back what was loaded before; None while nothing was changed."""
        return self._guardian.pid if self._guardian is not None else None

    def hold(self, configurations: Sequence[Configuration]) -> None:
        """A server has one configuration of a model at a time."""

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        """As `Bench.visit`.

        Raises:
            ForeignChangeError: somebody else changed the model, so that it is not known what was measured.
            ServerGoneError: the server ended, and did not come back in time.
            RemoteError: the server takes no configurations.
        """
        windows = self._with(configuration, partial(self._measure, load, options))
        self._count_others(windows)
        return windows

    def check_batches(self, configuration: Configuration, shapes: Mapping[str, Sequence[int]]) -> Verdict:
        """Load the configuration if it is not loaded, and compare batches with single items; raises as `visit`.

        Args:
            shapes: of each input, without the batch dimension.
        """

        def check() -> Verdict:
            applied = self._applied
            assert applied is not None
            return self._asked(lambda: check_batches(self._server, applied, shapes))

        return self._with(configuration, check)

    def _with(self, configuration: Configuration, do: Callable[[], _T]) -> _T:
        """Do something with a configuration that is there before and after it."""
        self._check_stop()
        try:
            self._check_unchanged()
            self._apply(configuration)
            found = do()
            self._check_unchanged()
        except ServerUnreachableError as error:
            self._server_ended(str(error))
        except RequestTimeoutError as error:
            self._configuration = self._applied = None
            raise CannotMeasureError(str(error)) from None
        except ClientError as error:
            raise RemoteError(str(error), error.fix) from None
        return found

    def _begin(self, start: Start) -> None:
        self._original, self.described = start.loaded, start.described
        if start.loaded is None:
            self._guard().applying()  # it is ours for as long as this is not followed by another word
            try:
                self._load("")
                found = self._loaded()
            except ClientError as error:
                raise RemoteError(f"'{self.model}' cannot be loaded at {self.address}: {error}", error.fix) from None
            if found is None:
                raise RemoteError(
                    f"'{self.model}' was loaded at {self.address}, and is not ready", "see the server's log"
                )
            self.complete = self._applied = found
        else:
            self.complete = self._applied = start.loaded

    def _guard(self) -> Guardian:
        """The guardian, from the first change on."""
        if self._guardian is None:
            charge = Charge(
                str(self.address), self.model, self._original, self._mark, self._guardian_seconds, self._log
            )
            try:
                self._guardian = Guardian(charge)
            except GuardianError as error:
                raise RemoteError(str(error), "measure without changes: --as-is") from None
        return self._guardian

    def _apply(self, configuration: Configuration) -> None:
        if self._configuration is configuration and self._applied is not None:
            return
        if self.as_is:
            if not configuration.current:
                raise CannotMeasureError("the server is measured as it is (--as-is), and has another configuration")
            self._configuration = configuration
            return
        guardian = self._guard()
        guardian.applying()
        self._configuration = None
        try:
            self._load(as_json(marked(configuration.config, self._mark)))
        except UnavailableError as error:
            guardian.applied()
            raise RemoteError(f"{self.address} takes no configurations: {error}", _EXPLICIT) from None
        except AnswerError as error:
            guardian.applied()
            self._applied = self._loaded()
            raise CannotMeasureError(_with_hint(str(error))) from None
        now = self._loaded()
        mark = mark_of(now) if now is not None else None
        if now is None or mark != self._mark:
            guardian.applied()
            raise ForeignChangeError(
                f"'{self.model}' at {self.address} does not have the configuration that it was just given"
                + (f": it belongs to another analysis, of {mark}" if mark is not None else ""),
                "let nobody else load it meanwhile; to measure what is there without changes: --as-is",
            )
        guardian.applied()
        self._applied, self._configuration, self._is_fresh = now, configuration, True

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _asked(self, ask: Callable[[], _T]) -> _T:
        return unless_stopped(ask, self._stop)

    def _loaded(self) -> ModelConfig | None:
        return self._asked(lambda: loaded_config(self._server, self.model))

    def _load(self, config: str) -> None:
        load(self.address, self.model, config, self._check_stop)
        self._reconnect()  # processes that the server has started for the model may hold open what was open then

    def _measure(self, load: Load, options: VisitOptions) -> list[Window]:
        assert self._applied is not None
        if self._generator is None:
            assert self.source is not None
            self._generator = Generator(str(self.address), self.model, self.source, self._stop)
            self._generator.__enter__()
        if self._is_fresh:
            warm_up = max(options.warm_up_seconds, _FRESH_WARM_UP_SECONDS)
            options = replace(options, warm_up_seconds=warm_up)
            self._generator.renew()
        try:
            windows = self._generator.visit(self._applied, load, options)
        except VariantDiedError as error:
            self._end_generator()
            raise CannotMeasureError(f"the load could not be made: {error}") from None
        except ServerError as error:
            self._reconnect()  # what is left of a server that has ended may hold a connection open, and never answer
            if not self.described:
                self._asked(self._server.live)  # raises where it is the server that has ended
                raise CannotMeasureError(str(error)) from None
            now = self._loaded()
            if now != self._applied and now in (None, self._original):
                self._server_ended(str(error))
            self._check_unchanged()
            raise CannotMeasureError(str(error)) from None
        self._is_fresh = False
        return judged(windows, load)

    def _check_unchanged(self) -> None:
        if self._applied is None or not self.described:
            return
        now = self._loaded()
        if now == self._applied:
            return
        if now is None:
            what = "it is not loaded any more"
        elif (mark := mark_of(now)) is not None and mark != self._mark:
            what = f"it belongs to another analysis now, of {mark}"
        else:
            what = f"it has another configuration now ({differences(self._applied, now)})"
        raise ForeignChangeError(
            f"'{self.model}' at {self.address} was changed by somebody else, or the server was started anew, while it was "
            f"analyzed: {what}. What is measured from here on would not be what it seems",
            "let nobody else load it meanwhile, and go on with --resume",
        )

    def _server_ended(self, text: str) -> NoReturn:
        """Wait for it to come back.

        Raises:
            CannotMeasureError: it did: what was measured has brought it to an end, or had to do with it.
            ServerGoneError: it did not.
        """
        self._end_generator()
        self._configuration = None
        self._applied = self.complete if self.as_is else None
        if self._guardian is not None:
            self._guardian.died()
        until = time.monotonic() + self._back_seconds
        while not self._is_back():
            if time.monotonic() > until:
                raise ServerGoneError(
                    f"the server at {self.address} has ended ({text}), and was not back within {self._back_seconds:g} s",
                    "start it again, and go on with --resume",
                )
            if self._stop.wait(_LOOK_SECONDS):
                raise Stopped
        raise CannotMeasureError(f"the server ended while this was measured, and is back: {text}")

    def _is_back(self) -> bool:
        self._reconnect()  # one that was refused is not tried again at once
        try:
            return self._asked(lambda: self._server.live() and (not self.as_is or self._server.model_ready(self.model)))
        except ClientError:
            return False

    def _reconnect(self) -> None:
        self._server.close()
        self._server = connect(str(self.address), timeout=ANSWER_SECONDS)

    def _count_others(self, windows: Sequence[Window]) -> None:
        for window in windows:
            if window.counters.requests > window.most_counted + _COUNTED_LATER:
                self.others += window.counters.requests - window.most_counted

    def _end_generator(self) -> None:
        generator, self._generator = self._generator, None
        if generator is not None:
            generator.__exit__(None, None, None)


_EXPLICIT = "measure what it has, without changes: --as-is; or start it with --model-control-mode=explicit"


def _with_hint(text: str) -> str:
    """Triton tells only its log why a configuration is wrong."""
    return (
        f"{text} (the reason is in the server's log)" if text.endswith("failed to poll from model repository") else text
    )
