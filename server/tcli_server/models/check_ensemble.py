"""Whether an ensemble on disk would be ready: the models of its steps are opened as a server would, and closed again."""

from dataclasses import dataclass
from functools import cache, partial

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InvalidArgumentError
from tcli_server.models.composition import DEEPEST, misnesting, obstacle, settle_decoupled, steps_of
from tcli_server.models.draft import Draft
from tcli_server.repository import Problem
from tcli_server.repository.identifiers import candidates, namespace_of
from tcli_server.repository.repositories import Repositories
from tcli_server.spec import ModelSpec, read_spec


@dataclass(frozen=True, slots=True)
class _OnDisk:
    """A model as it would be if it were loaded."""

    config: ModelConfig
    spec: ModelSpec


def composition_problem(draft: Draft, repositories: Repositories) -> Problem | None:
    """What is wrong between an ensemble without problems of its own and the models of its steps.

    Args:
        repositories: where those are.
    """

    def meant(step: str, ensemble: str) -> str:
        there = candidates(step, namespace_of(ensemble), repositories.named)
        return there[0] if len(there) == 1 else step

    @cache
    def drafted(name: str) -> Draft | None:
        found = repositories.find(name)
        if len(found) != 1:
            return None
        inner = Draft(found[0])
        inner.verify()
        return inner

    def steps(name: str) -> list[str]:
        inner = draft if name == draft.folder.identifier else drafted(name)
        return [meant(step, name) for step in steps_of(inner.config)] if inner is not None else []

    found = misnesting(draft.folder.identifier, steps)
    if found:
        return _problem(draft, found, f"ensembles that do not contain themselves, nested at most {DEEPEST} deep")

    @cache
    def loaded(name: str) -> dict[int, _OnDisk]:
        inner = drafted(name)
        if inner is None or inner.problems:
            return {}
        try:
            return {number: _open(inner, number) for number in inner.versions}  # a server loads all of them, or none
        except Exception:  # whatever it is, the model's own check tells it
            return {}

    def known(ensemble: str, step: str, version: str) -> _OnDisk | None:
        versions = loaded(meant(step, ensemble))
        return versions.get(int(version) if version else max(versions, default=0))

    def composed(ensemble: Draft, number: int) -> tuple[_OnDisk, str]:
        config = ModelConfig()
        config.CopyFrom(ensemble.config)
        find = partial(known, ensemble.folder.identifier)
        settle_decoupled(config, find)
        spec = read_spec(config, number)
        return _OnDisk(config, spec), obstacle(config, spec, find)

    def _open(inner: Draft, number: int) -> _OnDisk:
        if inner.is_ensemble:
            ensemble, reason = composed(inner, number)
            if reason:
                raise InvalidArgumentError(reason)
            return ensemble
        instance, config = inner.open(number, inner.placements[0])
        instance.close()
        return _OnDisk(config, read_spec(config, number))

    own = draft.folder.identifier
    absent = [step for step in steps_of(draft.config) if drafted(meant(step, own)) is None]
    if absent:
        several = len(repositories.paths) > 1
        found = f"models that are not there{' or ambiguous' if several else ''}: {', '.join(absent)}"
        expected = f"models of {'these repositories' if several else 'the same repository'}"
        return _problem(draft, found, expected)
    _, reason = composed(draft, draft.versions[-1])
    return _problem(draft, reason, "models that are there and fit together") if reason else None


def _problem(draft: Draft, found: str, expected: str) -> Problem:
    field = "ensemble_scheduling"
    return Problem(draft.folder.config_path, draft.line(field), field, found, expected, "change the step, or its model")
