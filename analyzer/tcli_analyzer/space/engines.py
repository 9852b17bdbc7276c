"""Which engines and providers can run a model on this machine, and why others cannot."""

from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.space.facts import Facts
from tcli_analyzer.space.settings import Settings, engine_of, read_settings, reads_file, write_settings
from tcli_server.backends import BackendKind
from tcli_server.backends.knobs import Provider
from tcli_server.backends.registry import backend, installation, is_installed, kind_of, kinds
from tcli_server.errors import ServerError

ENGINES_OWN = ""
"""The precision that an engine chooses itself, or that the model file says."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to run the model.

    Attributes:
        engine: the backend's name.
        provider: by what it computes; empty for one that is not known and stays as it is.
        precisions: words that mean something with it, `f32` for the numbers of the model file where it has no other.
        works_in: those of them that it can really compute in here.
        is_told: a configuration says in which; else the model file does.
    """

    engine: str
    provider: str
    precisions: tuple[str, ...]
    works_in: tuple[str, ...]
    is_told: bool = False

    @property
    def name(self) -> str:
        """`openvino`, or `onnxruntime with cuda`."""
        return f"{self.engine} with {self.provider}" if self.provider not in ("", "cpu") else self.engine

    def meaning(self, precision: str) -> str | None:
        """A precision as a configuration says it; None where it means nothing here."""
        if precision == ENGINES_OWN:
            return precision
        if not self.is_told:
            return ENGINES_OWN if precision == "f32" else None
        return precision if precision in self.works_in else None


@dataclass(frozen=True, slots=True)
class Engines:
    """What there is.

    Attributes:
        own: what the model runs by today.
        others: what can run it here as well.
        absent: what could and does not: engine, provider, the reason with what to do about it.
    """

    own: Choice
    others: tuple[Choice, ...] = ()
    absent: tuple[tuple[str, str, str], ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Its own, then others."""
        return self.own, *self.others


def own_engine(base: ModelConfig, facts: Facts) -> Engines:
    """The model's own alone: for a server whose engines nobody here can know."""
    settings = read_settings(base)
    kind = kind_of(settings.engine)
    known = kind.knobs.providers if kind is not None else ()
    provider = next((one for one in known if one.name == settings.provider), None)
    return Engines(_choice(settings.engine, provider, facts))


def find_engines(base: ModelConfig, model_file: str, facts: Facts) -> Engines:
    """Everything that can run the model here. May import what engines run by, which takes a moment.

    Args:
        base: the model's configuration, complete.
        model_file: the name of its file.
    """
    own = own_engine(base, facts).own
    if base.HasField("ensemble_scheduling"):
        return Engines(own)
    others: list[Choice] = []
    absent: list[tuple[str, str, str]] = []
    for kind in kinds():
        if kind.name != own.engine and not reads_file(kind, Path(model_file).suffix):
            continue
        for provider in kind.knobs.providers:
            if (kind.name, provider.name) == (own.engine, own.provider):
                continue
            reason = _obstacle(base, model_file, kind, provider, facts)
            if reason:
                absent.append((kind.name, provider.name, reason))
            else:
                others.append(_choice(kind.name, provider, facts))
    return Engines(own, tuple(others), tuple(absent))


def _choice(engine: str, provider: Provider | None, facts: Facts) -> Choice:
    if provider is None:
        return Choice(engine, "", ("f32",), ("f32",))
    if not provider.precision:
        return Choice(engine, provider.name, ("f32",), ("f32",))
    here = tuple(word for word in provider.precisions if provider.on_gpu or word in facts.precisions)
    return Choice(engine, provider.name, tuple(provider.precisions), here, is_told=True)


def _obstacle(base: ModelConfig, model_file: str, kind: BackendKind, provider: Provider, facts: Facts) -> str:
    """Why an engine cannot run the model so; empty if it can. Judged by what judges configurations when they are loaded."""
    if not is_installed(kind):
        return f"not installed: {installation(kind)}" if installation(kind) else "only NVIDIA Triton has it"
    if provider.on_gpu and not facts.gpus:
        return "this machine has no NVIDIA GPU"
    try:
        there = backend(kind.name)
        if provider.on_gpu and not there.runs_on_gpu():
            return f'{kind.name} finds no libraries for GPUs: pip install "tcli[cuda]"'
        own = read_settings(base)
        before = set(there.complaints(base)) if engine_of(base) == kind.name else set()
        wanted = Settings(engine=kind.name, provider=provider.name, threads=own.threads)
        found = [one for one in there.complaints(write_settings(base, wanted, model_file)) if one not in before]
    except ServerError as error:
        return str(error)
    return f"{found[0].found}; {found[0].fix}" if found else ""
