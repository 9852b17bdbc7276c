"""From a judged configuration to loaded models: open the instances of each version."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Instance, Placement
from tcli_server.caching.cache import ResponseCache
from tcli_server.errors import InvalidArgumentError, ServerError
from tcli_server.models import composition
from tcli_server.models.draft import Draft, close_instance
from tcli_server.models.model import Model
from tcli_server.observability.log import LOG
from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.spec import read_spec, scalars

Find = Callable[[str, str], Model]

_OPENED_AT_ONCE = 8
"""Instances of a version that are opened side by side: the load of a Python model is mostly waiting."""


def load_versions(
    draft: Draft,
    versions: Sequence[int],
    find: Find,
    cache: ResponseCache | None,
    limiter: RateLimiter | None,
    retries: int = 0,
) -> tuple[list[Model], dict[int, str]]:
    """Load versions of a draft without problems.

    Args:
        find: the model that answers for a name and a version, for the steps of an ensemble; raises ServerError.
        cache: for the answers of models that want them kept.
        limiter: see `Model`.
        retries: how often a version that could not be loaded is tried again.

    Returns:
        The models, and the reason for each version that could not be loaded.
    """
    loaded: list[Model] = []
    failed: dict[int, str] = {}
    for version in versions:
        for left in range(retries, -1, -1):
            try:
                loaded.append(_confirmed(_load(draft, version, find, cache, limiter), draft))
                break
            except ServerError as error:
                reason = str(error)
            except Exception as error:  # a backend may raise anything on a strange file
                LOG.exception("version %d of '%s' cannot be loaded", version, draft.folder.name)
                reason = f"{type(error).__name__}: {error}"
            if left:
                LOG.warning("version %d of '%s' is tried again: %s", version, draft.folder.name, reason)
        else:
            failed[version] = reason
    return loaded, failed


def resize(model: Model, draft: Draft) -> None:
    """Give a loaded version the instances and the version policy that a draft asks for, which differs in nothing else.

    Raises:
        ServerError: an instance cannot be opened; the model goes on as it is.
    """

    def place(placement: Placement) -> Placement:  # with the threads that it makes a difference for
        assert draft.backend is not None
        return replace(placement, threads=draft.backend.thread_count(draft.config, placement))

    if model.placements == draft.placements:
        model.config = _described(model.config, draft)
        return
    kept, fresh = _matched(model.instances, draft.placements, place)
    opened, config = _open(draft, model.version, fresh)
    try:
        draft.confirm()
    except BaseException:
        for placed in opened:
            close_instance(placed.instance)
        raise
    model.resize(_described(config or model.config, draft), [*kept, *opened])


def _matched(
    instances: Sequence[PlacedInstance], wanted: Sequence[Placement], place: Callable[[Placement], Placement]
) -> tuple[list[PlacedInstance], list[Placement]]:
    """The instances that serve as wanted ones, best by the same name and else by any, and what is to be opened.

    Names that stay in use are not given a second time: metrics go by them.
    """
    kept: list[PlacedInstance] = []
    left, missing = list(instances), list(wanted)
    for alike in (place, lambda placement: replace(place(placement), name="")):
        pool: dict[Placement, list[PlacedInstance]] = {}
        for placed in reversed(left):
            pool.setdefault(alike(placed.placement), []).append(placed)
        unmatched = []
        for placement in missing:
            if same := pool.get(alike(placement)):
                kept.append(same.pop())
            else:
                unmatched.append(placement)
        left, missing = [placed for same in pool.values() for placed in reversed(same)], unmatched
    names = {placed.placement.name for placed in kept}
    fresh = []
    for placement in missing:
        tries = itertools.chain([placement.name], (f"{placement.name}_{number}" for number in itertools.count(1)))
        fresh.append(replace(placement, name=next(name for name in tries if name not in names)))
        names.add(fresh[-1].name)
    return kept, fresh


def _described(config: ModelConfig, draft: Draft) -> ModelConfig:
    """A configuration with what may change while a version is loaded."""
    described = ModelConfig()
    described.CopyFrom(config)
    for field in ("instance_group", "version_policy"):
        described.ClearField(field)
    described.instance_group.extend(draft.config.instance_group)
    if draft.config.version_policy.WhichOneof("policy_choice"):
        described.version_policy.CopyFrom(draft.config.version_policy)
    else:
        described.version_policy.latest.num_versions = 1
    return described


def _load(draft: Draft, version: int, find: Find, cache: ResponseCache | None, limiter: RateLimiter | None) -> Model:
    start = time.monotonic()
    labels: dict[str, Sequence[str]] = {**draft.labels()}
    if draft.is_ensemble:
        return _load_ensemble(draft, version, labels, find, cache)
    instances, config = _open(draft, version, draft.placements)
    assert config is not None
    spec = read_spec(config, version, labels, scalars(instances[0].instance.signature))
    namespace = draft.folder.namespace
    return Model(config, spec, draft.folder.path, instances, time.monotonic() - start, find, cache, limiter, namespace)


def _confirmed(model: Model, draft: Draft) -> Model:
    """A model that is what was verified; any other is closed."""
    try:
        draft.confirm()
    except BaseException:
        model.stop()
        model.join()
        raise
    return model


def _load_ensemble(
    draft: Draft, version: int, labels: dict[str, Sequence[str]], find: Find, cache: ResponseCache | None
) -> Model:
    """Load an ensemble whose models are ready; the registry looks again whenever one of them changes."""
    start = time.monotonic()

    def known(name: str, wanted: str) -> Model | None:
        try:
            return find(name, wanted)
        except ServerError:
            return None

    config = ModelConfig()
    config.CopyFrom(draft.config)
    composition.settle_decoupled(config, known)
    spec = read_spec(config, version, {**composition.labels(config, known), **labels})
    problem = composition.obstacle(config, spec, known)
    if problem:
        raise InvalidArgumentError(problem)
    limit = config.ensemble_scheduling.max_inflight_requests
    if limit:
        LOG.info("Ensemble model '%s' configured with max_inflight_requests: %d", config.name, limit)
    namespace = draft.folder.namespace
    return Model(config, spec, draft.folder.path, [], time.monotonic() - start, find, cache, namespace=namespace)


def _open(
    draft: Draft, version: int, placements: Sequence[Placement]
) -> tuple[list[PlacedInstance], ModelConfig | None]:
    """Open an instance at each place, or none, several at a time; the completed configuration comes with the first."""
    opened: list[tuple[Instance, ModelConfig] | None] = [None] * len(placements)
    errors: list[tuple[int, BaseException]] = []
    waiting, lock = iter(range(len(placements))), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                index = next(waiting, None)
                if index is None or errors:
                    return
            try:
                opened[index] = draft.open(version, placements[index])
            except BaseException as error:
                errors.append((index, error))

    helpers = [
        threading.Thread(target=work, name=f"open {index}", daemon=True)
        for index in range(1, min(_OPENED_AT_ONCE, len(placements)))
    ]
    for helper in helpers:
        with contextlib.suppress(RuntimeError):  # no more threads: fewer do it
            helper.start()
    work()
    for helper in helpers:
        if helper.ident is not None:
            helper.join()
    if errors:
        for each in opened:
            if each is not None:
                close_instance(each[0])
        raise min(errors, key=lambda each: each[0])[1]
    done = [each for each in opened if each is not None]
    instances = [PlacedInstance(placement, each[0]) for placement, each in zip(placements, done, strict=True)]
    return instances, done[0][1] if done else None
