"""From a judged configuration to loaded models: open the instances of each version."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Instance, Placement
from tcli_server.caching.cache import ResponseCache
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.models import composition
from tcli_server.models.draft import Draft
from tcli_server.models.model import Model
from tcli_server.observability.log import LOG
from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.spec import read_spec, scalars

Find = Callable[[str, str], Model]

_STRING_OR_NAME = re.compile(r'"(?:[^"\\]|\\.)*"?|\b([A-Za-z_][A-Za-z0-9_]*)(?=\s{0,64}:)', re.DOTALL)
"""A string, even one that has no end, lest looking for the ends of many take for ever; or a name before a colon."""

_LARGEST_CONFIG = 1 << 20
"""Characters of a configuration. Python's JSON parser lets nobody else run meanwhile, for 20 s with 45 MB of `[],`."""


def parse_config_json(name: str, text: str) -> ModelConfig:
    """A model configuration from the JSON form that the load API takes.

    Raises:
        InternalError: not JSON, or not a ModelConfig (the kind and the first words are Triton's); or far too large.
    """
    if len(text) > _LARGEST_CONFIG:
        raise InternalError(
            f"failed to load '{name}', failed to poll from model repository: the 'config' parameter has {len(text)} "
            f"characters, expected at most {_LARGEST_CONFIG}"
        )
    try:
        return json_format.ParseDict(_read_json(text), ModelConfig())
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise InternalError(
            f"failed to load '{name}', failed to poll from model repository: the 'config' parameter is not a model "
            f"configuration in JSON: {error}"
        ) from None


def _read_json(text: str) -> Any:
    """JSON; as for Triton's parser, names that stand before a colon need no quotes. Raises ValueError, RecursionError."""
    try:
        return json.loads(text)
    except ValueError as error:
        quoted = _STRING_OR_NAME.sub(lambda found: f'"{found[1]}"' if found[1] else found[0], text)
        try:
            return json.loads(quoted)
        except ValueError:
            raise error from None  # whose place is that in what was sent


def load_versions(
    draft: Draft, versions: Sequence[int], find: Find, cache: ResponseCache | None, limiter: RateLimiter | None
) -> tuple[list[Model], dict[int, str]]:
    """Load versions of a draft without problems.

    Args:
        find: the model that answers for a name and a version, for the steps of an ensemble; raises ServerError.
        cache: for the answers of models that want them kept.
        limiter: see `Model`.

    Returns:
        The models, and the reason for each version that could not be loaded.
    """
    loaded: list[Model] = []
    failed: dict[int, str] = {}
    for version in versions:
        try:
            loaded.append(_confirmed(_load(draft, version, find, cache, limiter), draft))
        except ServerError as error:
            failed[version] = str(error)
        except Exception as error:  # a backend may raise anything on a strange file
            LOG.exception("version %d of '%s' cannot be loaded", version, draft.folder.name)
            failed[version] = f"{type(error).__name__}: {error}"
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
    there = {place(placed.placement): placed for placed in model.instances}
    kept = [there[place(placement)] for placement in draft.placements if place(placement) in there]
    fresh = [placement for placement in draft.placements if place(placement) not in there]
    opened, config = _open(draft, model.version, fresh)
    try:
        draft.confirm()
    except BaseException:
        for placed in opened:
            _close(placed.instance)
        raise
    model.resize(_described(config or model.config, draft), [*kept, *opened])


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
        LOG.info("ensemble model '%s' configured with max_inflight_requests: %d", config.name, limit)
    namespace = draft.folder.namespace
    return Model(config, spec, draft.folder.path, [], time.monotonic() - start, find, cache, namespace=namespace)


def _open(
    draft: Draft, version: int, placements: Sequence[Placement]
) -> tuple[list[PlacedInstance], ModelConfig | None]:
    """Open an instance at each place, or none; the completed configuration comes with the first."""
    instances: list[PlacedInstance] = []
    config: ModelConfig | None = None
    try:
        for placement in placements:
            instance, completed = draft.open(version, placement)
            instances.append(PlacedInstance(placement, instance))
            config = config or completed
    except BaseException:
        for placed in instances:
            _close(placed.instance)
        raise
    return instances, config


def _close(instance: Instance) -> None:
    try:
        instance.close()
    except Exception:
        LOG.exception("an instance could not be closed")
