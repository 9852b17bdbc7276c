"""`tcli repo check --deep`: the batches of every model of some repositories."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tcli_server.models.draft import BackendConfig, Draft
from tcli_server.proof.apart import LIMIT_SECONDS, prove_apart
from tcli_server.repository import ModelFolder, Problem
from tcli_server.repository.repositories import Repositories
from tcli_server.trial import Verdict
from tcli_server.trial.verdict import unchecked


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found out about a version of a model.

    Attributes:
        model: what it is known by.
        version: None where the model has none that could be loaded.
        problem: what is to be done about it; None where there is nothing.
    """

    model: str
    version: int | None
    verdict: Verdict
    problem: Problem | None = None


def prove_repositories(
    repositories: Repositories,
    models: list[str],
    settings: BackendConfig | None = None,
    limit: float = LIMIT_SECONDS,
    begin: Callable[[str], None] = lambda _: None,
) -> Iterator[Proof]:
    """Prove the batches of models, each version that is served, one after the other, each in a process of its own.

    Args:
        models: what they are known by.
        settings: of the backends, as `Draft` takes them.
        limit: seconds that a version may take.
        begin: told which model is next.
    """
    folders = repositories.folders()
    for model in models:
        for folder in folders.get(model, []):
            begin(model)
            yield from _proofs(model, folder, repositories, settings, limit)


def _proofs(
    model: str, folder: ModelFolder, repositories: Repositories, settings: BackendConfig | None, limit: float
) -> Iterator[Proof]:
    draft = Draft(folder, settings=settings)
    if draft.problems:
        first = draft.problems[0]
        yield Proof(
            model,
            None,
            unchecked(f"it does not load: found {first.found}, expected {first.expected}; fix: {first.fix}"),
        )
        return
    if draft.is_ensemble:
        yield Proof(model, None, unchecked("an ensemble forms no batches: each of its steps is checked by itself"))
        return
    asked = [folder.path.parent] if repositories.namespacing else repositories.paths
    for version in draft.versions:
        verdict = prove_apart(folder, version=version, repositories=asked, settings=settings, limit=limit)
        yield Proof(model, version, verdict, _problem(draft, version, verdict))


def _problem(draft: Draft, version: int, verdict: Verdict) -> Problem | None:
    if verdict.died:
        return Problem(
            draft.folder.version_path(version),
            None,
            "",
            verdict.reason,
            "a model that answers random requests, or refuses them",
            "find out with which requests it ends, and export it again, or update what runs it",
        )
    if verdict.outcome != "wrong":
        return None
    field = "max_batch_size"
    has_config = draft.folder.has_config
    return Problem(
        draft.folder.config_path,
        draft.line(field) if has_config else None,
        field,
        f"{draft.config.max_batch_size or 'a batch size that was completed'}, but a batch of version {version} is not what "
        f"its items are alone: {verdict.reason}",
        "a model whose answer to a request does not depend on the requests that share its batch",
        "write max_batch_size: 0, put a dimension of -1 in front of all dims and remove dynamic_batching; or export the model "
        "so that the first dimension of every tensor is the batch, and nothing is computed across it",
    )
