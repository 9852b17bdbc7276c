"""Opens an instance of a model as a server does, to run items on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Host
from tcli_server.errors import InternalError, ServerError
from tcli_server.models.draft import BackendConfig, Draft
from tcli_server.proof.runner import ModelRunner
from tcli_server.repository import ModelFolder
from tcli_server.spec import ModelSpec, read_spec, scalars
from tcli_server.trial import Verdict
from tcli_server.trial.verdict import unchecked


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model that runs.

    Attributes:
        config: the complete one.
    """

    draft: Draft
    file: Path
    config: ModelConfig
    spec: ModelSpec
    runner: ModelRunner

    def mixing_part(self, verdict: Verdict) -> str:
        """What in the model does not keep the items of a wrong batch apart, for people; empty where that is not known."""
        if self.draft.backend is None or not verdict.shapes:
            return ""
        shapes = {name: self.spec.inputs[name].to_backend(shape) for name, shape in verdict.shapes}
        return self.draft.backend.mixing_part(self.file, shapes)


@contextmanager
def opened_model(
    folder: ModelFolder,
    version: int | None,
    config: ModelConfig | None,
    settings: BackendConfig | None,
    host: Host | None,
) -> "Iterator[OpenedModel | Verdict]":
    """Open an instance; a verdict instead where no batch of it can be compared.

    Raises:
        ServerError: it does not load.
    """
    draft = Draft(folder, config, settings=settings, host=host)
    draft.verify()
    if draft.problems:
        yield unchecked(f"it does not load: {draft.problems[0]}")
        return
    if draft.is_ensemble:
        yield unchecked("an ensemble forms no batches: each of its steps is checked by itself")
        return
    number = draft.versions[-1] if version is None else version
    file = draft.model_file(number)
    try:
        instance, complete = draft.open(number, draft.placements[0])
    except ServerError:
        raise
    except Exception as error:  # as in loading: a backend may raise anything on a strange file
        raise InternalError(f"{type(error).__name__}: {error}") from error
    try:
        spec = read_spec(complete, number, {}, scalars(instance.signature))
        reason = _without_comparison(complete)
        if reason:
            yield unchecked(reason)
            return
        examples = draft.backend.examples(complete) if draft.backend is not None else {}
        yield OpenedModel(draft, file, complete, spec, ModelRunner(complete, spec, folder.path, instance, examples))
    finally:
        instance.close()


def _without_comparison(config: ModelConfig) -> str:
    """Why a model has no batches that can be compared; empty where it has."""
    if config.model_transaction_policy.decoupled:
        return "it is decoupled: it answers each request as often as it likes"
    if config.sequence_batching.iterative_sequence:
        return "its sequences are iterative: it asks for its requests again"
    return ""
