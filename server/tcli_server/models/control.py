"""Loading, reloading and unloading of models by name (Triton's model control extension).

Inside, a model is called by its identifier, which without namespaces is its name.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import cache, partial
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Host
from tcli_server.caching.cache import ResponseCache
from tcli_server.errors import (
    InvalidArgumentError,
    ServerError,
)
from tcli_server.hardware.allocator import TRIMMING, return_freed_memory
from tcli_server.models.composition import innermost_first, misnesting, steps_of
from tcli_server.models.draft import BackendConfig
from tcli_server.models.draining import Draining
from tcli_server.models.loader import Agree, Loader
from tcli_server.models.model import Model
from tcli_server.models.operations import Operations, refused, together
from tcli_server.models.registry import Registry, State
from tcli_server.observability.log import LOG
from tcli_server.observability.metrics_options import MetricsOptions
from tcli_server.repository import CONFIG_FILE, ModelFolder, read_config_file
from tcli_server.repository.identifiers import ambiguous, candidates, name_of, namespace_of
from tcli_server.repository.repositories import Repositories
from tcli_server.scheduling.limits.rate_limiter import RateLimiter

_IN_SEVERAL = "model appears in two or more repositories"


class ModelControl:
    """Knows the repositories, and changes what is loaded.

    Args:
        auto_complete: fill what a configuration leaves out from the model file.
        loads: models that load at the same time.
        cache: for the answers of models that want them kept.
        config_name: see `ModelFolder`.
        host: the server, for models that are programs of their own.
        limiter: see `Model`.
        namespacing: several repositories may have models of the same name.
        metrics: what is kept of their requests.

    Attributes:
        loader: does what one load of one name is.
    """

    def __init__(
        self,
        repositories: Sequence[Path],
        auto_complete: bool,
        backend_config: BackendConfig,
        loads: int,
        cache: ResponseCache | None = None,
        config_name: str = "",
        host: Host | None = None,
        limiter: RateLimiter | None = None,
        namespacing: bool = False,
        load_retries: int = 0,
        metrics: MetricsOptions | None = None,
    ) -> None:
        self.registry = Registry()
        self.operations = Operations(loads)
        self._repositories = Repositories([path.absolute() for path in repositories], namespacing, config_name)
        self._auto_complete = auto_complete
        self._loads = loads
        self._draining = Draining()
        self.loader = Loader(
            self.registry,
            self._repositories,
            self._close,
            auto_complete,
            backend_config,
            cache,
            host,
            limiter,
            load_retries,
            metrics or MetricsOptions(),
        )
        self._lock = threading.Lock()
        self._asked: set[str] = set()  # names that were loaded by themselves, not only as a step
        self._needing: dict[str, Sequence[str]] = {}  # ensembles that are about to be loaded, and what they need for it
        self._awaited: dict[str, str] = {}  # of those, the load that each waits for

    # --- what is there ---

    def names_on_disk(self) -> list[str]:
        """The models that a start without names loads; one without a configuration is left out where it needs one."""
        names = self.folders_on_disk().keys()
        for name in sorted(self._repositories.folders().keys() - names):
            LOG.warning("'%s' is ignored: it has no %s, and auto-completion is off", name, CONFIG_FILE)
        return sorted(names)

    def folders_on_disk(self) -> dict[str, list[ModelFolder]]:
        """Identifier -> the folders of that name, of the models that a start without names loads."""
        folders = self._repositories.folders()
        if self._auto_complete:
            return folders
        return {name: found for name, found in folders.items() if any(folder.has_config for folder in found)}

    def index(self) -> Iterator[tuple[str, str, str, str]]:
        """(name, version, state, reason) of each version; version and state are empty for a model never loaded."""
        folders = self._repositories.folders()
        known = self.registry.names()
        for one in sorted({*folders, *known}, key=lambda one: (name_of(one), one)):
            name = name_of(one)
            if len(folders.get(one, ())) > 1 and not self.registry.ready(one):
                yield name, "", State.UNAVAILABLE, _IN_SEVERAL  # in Triton's words, which tests compare
            elif one in known:
                for version, state, reason in self.registry.rows(one):
                    yield name, version, state, reason
            else:
                yield name, "", "", ""

    def identifiers(self, name: str) -> list[str]:
        """What a name that somebody asks for stands for: all models of that name, or the one of that identifier."""
        if not self._repositories.namespacing or self._repositories.has(name):
            return [name]
        there = {*self._repositories.named(name), *self.registry.identifiers(name)}
        return sorted(there) or [self._repositories.new(name)]

    def waiting(self, names: Sequence[str]) -> list[str]:
        """Of these, the ensembles that could not be loaded, perhaps for the lack of a model."""
        wanted = [name for name in names if name in self.registry.identifiers(name_of(name))]
        return [name for name in wanted if not self.registry.loaded(name) and steps_of(self.config(name))]

    # --- load ---

    def load_all(self, names: Sequence[str]) -> None:
        """Load models side by side; a failure goes into the index, with its reason, instead of being raised."""
        waiting = iter(names)
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    name = next(waiting, None)
                if name is None:
                    return
                error = self.load(name, None, {}).exception()
                if error is not None:
                    self.registry.failed(name, str(error))

        threads = [
            threading.Thread(target=work, name=f"load {index}", daemon=True)
            for index in range(min(self._loads, len(names)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def load_named(
        self,
        name: str,
        override: ModelConfig | None,
        files: Mapping[str, bytes | memoryview],
        agree: Agree | None = None,
    ) -> "Future[None]":
        """Load all models of a name; the future raises as `Engine.load`, or as `agree`, which `load` explains."""
        there = self.identifiers(name)
        if len(there) > 1 and files:
            return refused(ambiguous(name, there))
        return together([self.load(one, override, files, agree=agree) for one in there])

    def load(
        self,
        name: str,
        override: ModelConfig | None,
        files: Mapping[str, bytes | memoryview],
        demanded: bool = False,
        agree: Agree | None = None,
    ) -> "Future[None]":
        """Load one model in its turn; the future raises as `Engine.load`.

        Args:
            demanded: as `LoadWatch.before`.
            agree: called when all that the load opens is open, before anything of it answers. It may wait, and a ServerError
                that it raises is the load's: an older copy goes on then. Whatever makes the load fail, the models that
                were loaded for it are unloaded again.
        """
        fetched: list[str] = []

        def asked() -> None:
            try:
                self.loader.load(name, override, files, agree)
                with self._lock:
                    self._asked.add(name)
                fetched.clear()
            finally:
                over()

        def first() -> None:
            try:
                self.loader.check_name(name)
                self._load_steps(name, override, sum(map(len, files.values())), demanded, fetched)
            except BaseException as error:
                over()
                if isinstance(error, ServerError):
                    self.loader.record_failure(name, str(error))
                raise

        def over() -> None:
            with self._lock:
                self._needing.pop(name, None)
            self.loader.watch.after(name)
            for step in fetched if agree is not None else ():
                self.operations.unload(step, partial(self._unload, step, True, needless=True)).exception()

        return self.operations.load(name, asked, first)

    def _load_steps(
        self, name: str, override: ModelConfig | None, pushed_bytes: int, demanded: bool, fetched: list[str]
    ) -> None:
        """Load the models that an ensemble is made of and that are not ready, those of inner ensembles first.

        What is there and cannot be loaded is told when the ensemble is.

        Args:
            fetched: gets what was loaded for it, the outermost first.

        Raises:
            InvalidArgumentError: it contains itself, or a model that is not there.
        """

        @cache
        def steps(model: str) -> Sequence[str]:
            config = override if override is not None and model == name else self.config(model)
            return [self._step(step, namespace_of(model)) for step in steps_of(config)]

        found = misnesting(name, steps)
        if found:
            raise InvalidArgumentError(f"load failed for model '{name}': {found}")
        needed = innermost_first(name, steps)
        self.loader.watch.before(name, [*needed, name], pushed_bytes, demanded)
        with self._lock:  # not before there is room: others may need that of its steps
            if needed:
                self._needing[name] = needed
        for model in needed:
            if not self.registry.ready(model):
                fetched.insert(0, model)
                self._await_load(name, model)
        absent = [
            step for step in steps(name) if not self.registry.ready(step) and len(self._repositories.find(step)) != 1
        ]
        if absent:
            raise InvalidArgumentError(
                f"load failed for model '{name}': ensemble '{name}' contains models that are not available or ambiguous: "
                f"{', '.join(absent)}"
            )

    def _await_load(self, name: str, step: str) -> None:
        """Load a step and wait for it, unless it waits for `name` itself, as configurations may change meanwhile."""
        with self._lock:
            last = step
            while last in self._awaited:
                last = self._awaited[last]
            if last == name:
                return
            self._awaited[name] = step
        try:
            self.operations.load(step, partial(self.loader.load, step, None, {})).exception()
        finally:
            with self._lock:
                del self._awaited[name]

    def folders(self, name: str) -> list[ModelFolder]:
        """The folders of a name; several make none of them a model."""
        return self._repositories.find(name)

    def config(self, name: str) -> ModelConfig:
        """A model's configuration on disk as it is given; empty if there is none, or several."""
        with contextlib.suppress(ServerError, OSError, ValueError):
            found = self._repositories.find(name)
            if len(found) == 1 and found[0].has_config:
                return read_config_file(found[0].config_path).config
        return ModelConfig()

    def _step(self, wanted: str, namespace: str) -> str:
        """The model that an ensemble means by a step; what is not there, or ambiguous, as it is called."""
        if not self._repositories.namespacing:
            return name_of(wanted)
        there = candidates(wanted, namespace, self.identifiers)
        return there[0] if len(there) == 1 else wanted

    # --- unload ---

    def unload_named(self, name: str, dependents: bool = False) -> "Future[None]":
        """Unload all models of a name, as `unload`."""
        return together([self.unload(one, dependents) for one in self.identifiers(name)])

    def unload(self, name: str, dependents: bool = False) -> "Future[None]":
        """Unload one model in its turn: after a load of it that is under way.

        Args:
            dependents: of an ensemble, also the models that were loaded only for it.
        """
        return self.operations.unload(name, lambda: self._unload(name, dependents))

    def _unload(self, name: str, dependents: bool, needless: bool = False) -> None:
        """Args: needless: only if nobody asked for it and no ensemble needs it."""
        with self._lock:
            if needless and (name in self._asked or self._is_needed(name)):
                return
            self._asked.discard(name)
            loaded = self.registry.loaded(name)
            steps = {self._step(step, namespace_of(name)) for model in loaded for step in steps_of(model.config)}
            closing, source = self.registry.retire(name)
        for model in closing:
            self._close(model)
        if source is not None and source.pushed is not None:
            source.pushed.discard()
        for step in sorted(steps) if dependents else ():
            self.operations.unload(step, partial(self._unload, step, True, needless=True))

    def evict(self, name: str) -> bool:
        """Unload a model that nobody uses at this moment and no loaded ensemble needs; whether it was."""
        return self.operations.unload_now(name, lambda: self._evict(name))

    def _evict(self, name: str) -> bool:
        if self.registry.stays(name):
            return False
        with self._lock:
            models = self.registry.loaded(name)
            if self._is_needed(name) or not all(model.unused for model in models):
                return False
            stopped = [model.stop_if_unused() for model in models]
            if not any(stopped):
                return False
            closing, _ = self.registry.retire(name)
        self.loader.watch.evicted(closing)
        for model in closing:  # this may happen often: a look for unreachable objects would hold up everybody each time
            self._draining.close(model, partial(self.registry.closed, model), TRIMMING.now_and_then)
        return True

    def _is_needed(self, name: str) -> bool:
        needed = any(name in steps for steps in self._needing.values())
        return needed or bool(self.registry.ensembles_of(name))

    def _close(self, model: Model) -> None:
        self._draining.close(model, lambda: self.registry.closed(model))

    def begin_shutdown(self) -> None:
        """Load and unload nothing any more; what still loads is thrown away when it is done."""
        self.registry.close()
        self.operations.stop()

    def shut_down(self, deadline: float) -> bool:
        """Close every model; True if all that was accepted was answered before `deadline` (time.monotonic())."""
        self.begin_shutdown()
        sources = [self.registry.retire(name) for name in self.registry.names()]
        models = [model for closing, _ in sources for model in closing]
        for model in models:
            model.stop()
        drained = True
        for model in models:
            drained = (model.join(max(0.0, deadline - time.monotonic())) or model.idle) and drained
            self.registry.closed(model)
        drained = self._draining.wait(deadline) and drained
        for _, source in sources:
            if source is not None and source.pushed is not None:
                source.pushed.discard()
        return_freed_memory()
        return drained
