"""One load of one name: from its folder, or from pushed files, to models that answer in place of the older ones."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Host
from tcli_server.caching.cache import ResponseCache
from tcli_server.errors import (
    ConfigError,
    InternalError,
    InvalidArgumentError,
    ServerError,
    UnavailableError,
)
from tcli_server.hardware.allocator import TRIMMING
from tcli_server.models.changes import Snapshot, apart_from_config, of_each_version, take_snapshot
from tcli_server.models.draft import BackendConfig, Draft
from tcli_server.models.load_watch import LoadWatch
from tcli_server.models.loading import load_versions, resize
from tcli_server.models.model import Model
from tcli_server.models.pushed import PushedFiles
from tcli_server.models.rate_limits import check_rate_limits
from tcli_server.models.registry import Registry, Source
from tcli_server.observability.distributions import Distributions
from tcli_server.observability.log import LOG
from tcli_server.observability.metrics_options import MetricsOptions
from tcli_server.repository import ModelFolder, identifiers
from tcli_server.repository.identifiers import name_of
from tcli_server.repository.repositories import Repositories
from tcli_server.scheduling.limits.rate_limiter import RateLimiter

Agree = Callable[[], None]

_POLL_FAILED = "failed to load '{}', failed to poll from model repository: {}"


class Loader:
    """Loads models into a registry; when and in which order is for others to say.

    Args:
        close: takes a model that no longer answers.
        auto_complete, backend_config, cache, host, limiter, retries, metrics: as `ModelControl`.

    Attributes:
        watch: is told of every load.
    """

    def __init__(
        self,
        registry: Registry,
        repositories: Repositories,
        close: Callable[[Model], None],
        auto_complete: bool,
        backend_config: BackendConfig,
        cache: ResponseCache | None,
        host: Host | None,
        limiter: RateLimiter | None,
        retries: int,
        metrics: MetricsOptions,
    ) -> None:
        self._registry = registry
        self._repositories = repositories
        self._close = close
        self._auto_complete = auto_complete
        self._backend_config = backend_config
        self._cache = cache
        self._host = host
        self._limiter = limiter
        self._load_retries = retries
        self._metrics = metrics
        self.watch: LoadWatch = LoadWatch()

    def load(
        self,
        name: str,
        override: ModelConfig | None,
        files: Mapping[str, bytes | memoryview],
        agree: Agree | None = None,
    ) -> None:
        """Do it; raises as `Engine.load`, or what `agree` raises.

        Args:
            agree: as `ModelControl.load`.
        """
        self.check_name(name)
        folder = PushedFiles(name, files, override) if files else self._folder(name)
        try:
            with self.watch.loading(name):
                if isinstance(folder, PushedFiles):
                    self._load_pushed(name, folder, override, agree)
                else:
                    self._load_folder(name, folder, override, agree)
                TRIMMING.now_and_then()  # files that were read and graphs that were optimised leave as much behind as the model takes
        except ServerError as error:
            self.record_failure(name, str(error))
            raise
        except OSError as error:  # a folder that cannot be read, or vanishes under our feet
            text = _POLL_FAILED.format(name, f"{error.filename or 'its folder'}: {error.strerror or error}")
            self._registry.failed(name, text)
            raise InternalError(text) from None
        except Exception as error:
            LOG.exception("'%s' cannot be loaded", name)
            text = _POLL_FAILED.format(name, f"{type(error).__name__}: {error}")
            self.record_failure(name, text)
            raise InternalError(text) from error

    def record_failure(self, name: str, reason: str) -> None:
        """Let the index tell why a load failed."""
        self._registry.failed(name, reason)
        if name not in self._repositories.folders():
            self._registry.forget(name)  # whoever pushed it was told; the index is not for names that anybody makes up

    def _load_pushed(self, name: str, pushed: PushedFiles, override: ModelConfig | None, agree: Agree | None) -> None:
        try:
            draft = self._draft(pushed.folder, override)
            models = self._load_versions(name, draft, draft.versions, agree)
            self._publish(name, models, Source(Snapshot({}, {}), draft.given, override, pushed))
        except BaseException:
            pushed.discard()
            if not self._repositories.find(name):  # the index is not for names that anybody makes up
                self._registry.forget(name)
            raise

    def _load_folder(self, name: str, folder: ModelFolder, override: ModelConfig | None, agree: Agree | None) -> None:
        snapshot = take_snapshot(folder)
        known = self._registry.source(name)
        if known is not None and known.pushed is not None:
            known = None
        if override is None and known is not None and snapshot == known.snapshot:
            reason = self._registry.obstacle(name)
            if reason:
                raise InvalidArgumentError(f"load failed for model '{name}': {reason}")
            return
        draft = self._draft(folder, override)
        kept = self._unchanged(name, draft, snapshot, known)
        models = self._load_versions(name, draft, [v for v in draft.versions if v not in kept], agree)
        for model in kept.values():
            self._resize(name, model, draft)
        self._publish(name, [*kept.values(), *models], Source(snapshot, draft.given, override))

    def _draft(self, folder: ModelFolder, override: ModelConfig | None) -> Draft:
        draft = Draft(folder, override, self._auto_complete, self._backend_config, self._host)
        if draft.malformed:
            raise InternalError(_POLL_FAILED.format(folder.name, ConfigError(draft.problems)))
        if draft.problems:
            raise InvalidArgumentError(f"load failed for model '{folder.name}': {ConfigError(draft.problems)}")
        if self._limiter is not None:
            check_rate_limits(draft, self._limiter)
        draft.verify()
        if draft.problems:
            for problem in draft.problems:
                LOG.error("'%s': %s", folder.name, problem.found)
            raise InternalError(_POLL_FAILED.format(folder.name, ConfigError(draft.problems)))
        if draft.is_ensemble and not self._repositories.namespacing:
            _warn_of_namespaces(draft.config)
        return draft

    def _unchanged(self, name: str, draft: Draft, snapshot: Snapshot, known: Source | None) -> dict[int, Model]:
        """The loaded versions that would be loaded again from the same files with the same configuration."""
        if known is None or apart_from_config(snapshot, draft.folder) != apart_from_config(
            known.snapshot, draft.folder
        ):
            return {}
        given = of_each_version(draft.given)
        as_before = given == of_each_version(known.given)
        return {
            model.version: model
            for model in self._registry.ready(name)
            if (as_before or given == of_each_version(model.config))  # as the server itself describes it, perhaps
            and model.version in draft.versions
            and snapshot.versions.get(model.version) == known.snapshot.versions.get(model.version)
        }

    def _load_versions(self, name: str, draft: Draft, versions: Sequence[int], agree: Agree | None) -> list[Model]:
        self._registry.loading(name, versions)
        find = partial(self._registry.find_step, draft.folder.namespace)
        loaded, failed = load_versions(draft, versions, find, self._cache, self._limiter, self._load_retries)
        if self._metrics.distributions:
            for model in loaded:
                model.statistics.distributions = Distributions(model.config, model.is_cached, self._metrics)
        if not failed:
            self._agree(name, loaded, agree)
            self.watch.loaded(loaded)
            return loaded
        _discard(loaded)
        self._registry.failed(name, "", failed)
        reasons = " ".join(f"version {v} is at UNAVAILABLE state: {reason};" for v, reason in failed.items())
        raise InvalidArgumentError(f"load failed for model '{name}': {reasons}")

    def _agree(self, name: str, models: Sequence[Model], agree: Agree | None) -> None:
        if agree is None:
            return
        try:
            agree()
        except ServerError as error:
            _discard(models)
            self._registry.failed(name, "", {model.version: str(error) for model in models})
            raise

    def _resize(self, name: str, model: Model, draft: Draft) -> None:
        try:
            resize(model, draft)
        except ServerError as error:
            raise InvalidArgumentError(f"load failed for model '{name}': {error}") from None

    def _publish(self, name: str, models: Sequence[Model], source: Source) -> None:
        before = self._registry.source(name)
        try:
            gone = self._registry.publish(name, models, source)
        except UnavailableError:
            _discard(models)
            raise
        self.watch.published(name)
        for model in gone:
            self._close(model)
        if before is not None and before.pushed is not None:
            before.pushed.discard()

    def _folder(self, name: str) -> ModelFolder:
        found = self._repositories.find(name)
        if len(found) != 1:
            places = ", ".join(str(path) for path in self._repositories.paths)
            reason = _duplicates(name, found) if found else f"no folder '{name_of(name)}' in {places}"
            raise InternalError(_POLL_FAILED.format(name, reason))
        return found[0]

    def check_name(self, name: str) -> None:
        """Raises InvalidArgumentError for a name that no model can have."""
        identifiers.check_name(name_of(name) if self._repositories.has(name) else name)


def _discard(models: Sequence[Model]) -> None:
    """Close models that never answered anything."""
    for model in models:
        model.stop()
    for model in models:
        model.join()


def _warn_of_namespaces(config: ModelConfig) -> None:
    for step in config.ensemble_scheduling.step:
        if step.model_namespace:
            LOG.warning(
                "ensemble '%s': the namespace of step '%s' means nothing without --model-namespacing",
                config.name,
                step.model_name,
            )


def _duplicates(name: str, folders: Sequence[ModelFolder]) -> str:
    places = ", ".join(str(folder.path) for folder in folders)
    return f"model '{name}' is in several repositories and so in none: {places}"
