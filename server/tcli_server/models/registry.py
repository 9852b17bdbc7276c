"""What is known of each model: its versions, their states, and which loaded models answer requests."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InvalidArgumentError, NotFoundError, UnavailableError
from tcli_server.models.changes import Snapshot
from tcli_server.models.composition import obstacle, steps_of
from tcli_server.models.model import Model
from tcli_server.models.pushed import PushedFiles
from tcli_server.observability.log import LOG
from tcli_server.repository.identifiers import ambiguous, candidates, name_of, namespace_of
from tcli_server.scheduling.ensembles.graph import wanted_model


class State(StrEnum):
    """A version's state, as the repository index shows it."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


UNLOADED = "unloaded"

_MOST_UNLOADED = 100
"""Versions of one name that are unloaded and still listed: a model may get a new one each minute, for years."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where the versions that are served came from.

    Attributes:
        snapshot: their folder when it was read.
        given: the configuration before it was completed.
        override: the configuration that a load request gave, which stays in force until the folder changes.
        pushed: the files that a load request gave.
    """

    snapshot: Snapshot
    given: ModelConfig
    override: ModelConfig | None = None
    pushed: PushedFiles | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One version: `reason` says why it is not READY; `model` is there while it is READY or UNLOADING."""

    state: State
    reason: str = ""
    model: Model | None = None


@dataclass(slots=True)
class Entry:
    """A model that was loaded at least once, or failed to.

    Attributes:
        source: None while no version is served.
        failure: why the model as a whole could not be loaded, where no version was reached.
    """

    versions: dict[int, Version] = field(default_factory=dict)
    source: Source | None = None
    failure: str = ""

    def loaded(self) -> list[Model]:
        """Models that are not about to go, lowest version first; of ensembles also those whose models are gone."""
        return [v.model for _, v in sorted(self.versions.items()) if v.state is State.READY and v.model is not None]

    def wanted(self) -> bool:
        """Whether it was asked to load and not unloaded since, with whatever success."""
        return bool(self.failure) or any(version.reason != UNLOADED for version in self.versions.values())


class Registry:
    """Entries by identifier, and the table that the hot path looks models up in.

    An identifier is a name, or with namespaces `REPOSITORY/NAME`; where only one is wanted of a name, the name will do.

    One lock orders every change together with its publication. The table is replaced as a whole, never changed, so that
    the hot path needs no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._named: dict[str, list[str]] = {}  # name -> its identifiers among the entries
        self._serving: dict[tuple[str, str], Model] = {}
        self._steps: dict[tuple[str, str, str], Model] = {}  # what `find_step` found since the last change
        self._ready: tuple[Model, ...] = ()
        self._blocked: dict[Model, str] = {}  # ensembles whose models are gone or do not fit, and why
        self._closed = False

    # --- looking up ---

    def find(self, name: str, version: str = "") -> Model:
        """The model that answers for a name and a version (digits; empty for the highest one that is ready).

        Raises:
            InvalidArgumentError: the version is not a number, or several repositories have a model of that name.
            NotFoundError: no such model or version.
            UnavailableError: the version exists but is not ready.
        """
        model = self._serving.get((name, version))
        return model if model is not None else self._find_or_explain(name, version)

    def _find_or_explain(self, name: str, version: str) -> Model:
        unknown = f"Request for unknown model: '{name}'"
        number = parse_version(version)
        with self._lock:
            entry = self._entries.get(self._meant(name))
            if entry is None:
                raise NotFoundError(f"{unknown} is not found")
            if number == -1:
                ready = self._answering(entry)
                if ready:
                    return ready[-1]
                reason = next((f": {self._blocked[model]}" for model in entry.loaded()), "")
                raise NotFoundError(f"{unknown} has no available versions{reason}")
            known = entry.versions.get(number)
            reason = self._blocked.get(known.model, "") if known is not None and known.model is not None else ""
        if known is None:
            raise NotFoundError(f"{unknown} version {number} is not found")
        if known.state is not State.READY or known.model is None or reason:
            raise UnavailableError(f"{unknown} version {number} is not at ready state{': ' if reason else ''}{reason}")
        return known.model

    def _meant(self, name: str) -> str:
        there = self._wanted(name) or self._named.get(name, [name])[:1]
        if len(there) > 1:
            raise ambiguous(name, there)
        return there[0]

    def _wanted(self, name: str) -> list[str]:
        return [one for one in self._named.get(name, ()) if self._entries[one].wanted()]

    def find_step(self, namespace: str, wanted: str, version: str) -> Model:
        """The model that an ensemble of this namespace means by a step's model and version; raises as `find`."""
        model = self._steps.get((namespace, wanted, version))
        if model is not None:
            return model
        with self._lock:
            there = candidates(wanted, namespace, self._wanted)
            model = self._serving.get((there[0], version)) if len(there) == 1 else None
            if model is not None:
                self._steps[namespace, wanted, version] = model
                return model
        if len(there) > 1:
            raise ambiguous(name_of(wanted), there)
        return self._find_or_explain(there[0] if there else wanted, version)

    def identifier(self, name: str) -> str:
        """What the model that a name means is known by; what is not known, as it is called.

        Raises:
            InvalidArgumentError: several repositories have a model of that name.
        """
        with self._lock:
            return self._meant(name)

    def identifiers(self, name: str) -> list[str]:
        """What the models of a name are known by, of those that were asked to load."""
        with self._lock:
            return self._wanted(name)

    def config(self, model: Model) -> ModelConfig:
        """A model's configuration; that of an ensemble says which namespaces its steps are in, where there are any."""
        if not model.namespace or not steps_of(model.config):
            return model.config
        config = ModelConfig()
        config.CopyFrom(model.config)
        with self._lock:
            for step in config.ensemble_scheduling.step:
                there = candidates(wanted_model(step), model.namespace, self._wanted)
                if len(there) == 1:
                    step.model_namespace = namespace_of(there[0])
        return config

    def models(self) -> tuple[Model, ...]:
        """Every model that is ready, in the order of name and version."""
        return self._ready

    def names(self) -> set[str]:
        """The identifier of every model that was ever asked to load."""
        with self._lock:
            return set(self._entries)

    def stays(self, name: str) -> bool:
        """Whether a load request gave files or a configuration for it, so that nothing else could load it so again."""
        source = self.source(name)
        return source is not None and (source.pushed is not None or source.override is not None)

    def present(self) -> set[str]:
        """The models that are in memory, also those that are about to go."""
        with self._lock:
            return {
                name
                for name, entry in self._entries.items()
                if any(v.model is not None for v in entry.versions.values())
            }

    def ready(self, name: str) -> list[Model]:
        """The versions of a model that are ready, lowest first."""
        with self._lock:
            entry = self._entries.get(name)
            return self._answering(entry) if entry else []

    def loaded(self, name: str) -> list[Model]:
        """The same, and of an ensemble also those versions whose models are gone."""
        with self._lock:
            entry = self._entries.get(name)
            return entry.loaded() if entry else []

    def obstacle(self, name: str) -> str:
        """Why the ensemble of that name is not ready although it is loaded; empty if it is, and for other models."""
        with self._lock:
            entry = self._entries.get(name, Entry())
            return next((self._blocked[model] for model in entry.loaded() if model in self._blocked), "")

    def ensembles_of(self, name: str) -> list[str]:
        """The loaded ensembles that have the model among their steps."""
        with self._lock:
            return sorted(
                other
                for other, entry in self._entries.items()
                for model in entry.loaded()[:1]
                if any(name in candidates(step, model.namespace, self._wanted) for step in steps_of(model.config))
            )

    def source(self, name: str) -> Source | None:
        """Where the versions that are served came from, None if none is."""
        with self._lock:
            entry = self._entries.get(name)
            return entry.source if entry else None

    def all_ready(self) -> bool:
        """True if all that was asked to load is READY; what was unloaded on purpose does not count."""
        with self._lock:
            return not any(
                entry.failure
                or any(v.state is not State.READY and v.reason != UNLOADED for v in entry.versions.values())
                for entry in self._entries.values()
            )

    def rows(self, name: str) -> Iterator[tuple[str, str, str]]:
        """(version, state, reason) of what is known of a name; version is empty where none was reached."""
        with self._lock:
            entry = self._entries.get(name, Entry())
            versions, failure, blocked = sorted(entry.versions.items()), entry.failure, self._blocked
        if not versions:
            yield "", State.UNAVAILABLE, failure
        for number, version in versions:
            reason = blocked.get(version.model, "") if version.model is not None else ""
            yield str(number), State.UNAVAILABLE if reason else version.state, reason or version.reason

    # --- changing ---

    def loading(self, name: str, versions: Sequence[int]) -> None:
        """These versions are being loaded; those that are READY go on answering until they are replaced."""
        with self._lock:
            entry = self._entry(name)
            for version in versions:
                known = entry.versions.get(version)
                if known is None or known.state is not State.READY:
                    entry.versions[version] = Version(State.LOADING)

    def publish(self, name: str, models: Sequence[Model], source: Source) -> list[Model]:
        """These models answer from now on, and no others of that name; those that did before are returned.

        Raises:
            UnavailableError: the registry is closed; nothing is changed.
        """
        with self._lock:
            if self._closed:
                raise UnavailableError("Server exiting")
            entry = self._entry(name)
            gone = [model for model in entry.loaded() if model not in models]
            replaced = {model.version for model in models}
            others = {number: one for number, one in entry.versions.items() if number not in replaced}
            ready = {number: one for number, one in others.items() if one.state is State.READY}
            listed = sorted(others.keys() - ready.keys())[-_MOST_UNLOADED:]
            versions = {number: Version(State.UNAVAILABLE, UNLOADED) for number in listed}
            versions |= {number: Version(State.UNLOADING, UNLOADED, one.model) for number, one in ready.items()}
            versions |= {model.version: Version(State.READY, "", model) for model in models}
            self._entries[name] = Entry(versions, source)
            self._publish()
            return gone

    def failed(self, name: str, reason: str, versions: dict[int, str] | None = None) -> None:
        """A load did not succeed; an older copy goes on answering as if nothing had happened.

        Args:
            reason: of the model as a whole.
            versions: the reason of each version, where versions were reached.
        """
        with self._lock:
            entry = self._entry(name)
            reasons = dict(versions or {})
            for number, version in list(entry.versions.items()):
                if version.state is State.LOADING:
                    reasons.setdefault(number, "another version of the model failed to load")
            if entry.loaded():
                entry.versions = {n: v for n, v in entry.versions.items() if v.state is not State.LOADING}
                return
            if reasons:
                entry.versions |= {number: Version(State.UNAVAILABLE, text) for number, text in reasons.items()}
                entry.failure = ""
            else:
                entry.failure = reason
            self._publish()

    def forget(self, name: str) -> None:
        """Drop a name that never answered anything."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None and not any(version.model for version in entry.versions.values()):
                del self._entries[name]
                self._named[name_of(name)].remove(name)
                if not self._named[name_of(name)]:
                    del self._named[name_of(name)]

    def retire(self, name: str) -> tuple[list[Model], Source | None]:
        """Nothing of that name answers from now on; the models that did, and their source."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return [], None
            closing, source = entry.loaded(), entry.source
            entry.source, entry.failure = None, ""
            for number, version in entry.versions.items():
                state = State.UNLOADING if version.model is not None else State.UNAVAILABLE
                entry.versions[number] = Version(state, UNLOADED, version.model)
            self._publish()
            return closing, source

    def close(self) -> None:
        """Take no more models, not even from a load that is about to publish one."""
        with self._lock:
            self._closed = True

    def closed(self, model: Model) -> None:
        """A model that was UNLOADING is gone."""
        with self._lock:
            entry = self._entries.get(model.identifier, Entry())
            known = entry.versions.get(model.version)
            if known is not None and known.model is model and known.state is State.UNLOADING:
                entry.versions[model.version] = Version(State.UNAVAILABLE, UNLOADED)

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = Entry()
            self._named.setdefault(name_of(name), []).append(name)
        return entry

    def _answering(self, entry: Entry) -> list[Model]:
        return [model for model in entry.loaded() if model not in self._blocked]

    def _publish(self) -> None:
        loaded = [model for _, entry in sorted(self._entries.items()) for model in entry.loaded()]
        ensembles = [model for model in loaded if steps_of(model.config)]
        serving = self._table(model for model in loaded if not steps_of(model.config))
        blocked = dict.fromkeys(ensembles, "")
        while True:  # an ensemble may be a step of another
            for model in blocked:
                blocked[model] = self._obstacle(model, serving)
            free = [model for model, reason in blocked.items() if not reason]
            if not free:
                break
            for model in free:
                del blocked[model]
            serving = self._table(model for model in loaded if model not in blocked)
        before, self._blocked = self._blocked, blocked
        self._steps = {}
        self._serving, self._ready = serving, tuple(model for model in loaded if model not in blocked)
        if self._closed:  # everything goes, in any order
            return
        for model in blocked.keys() - before.keys():
            LOG.warning("ensemble '%s' is not ready any more: %s", model.name, blocked[model])
        for model in before.keys() - blocked.keys():
            if model in loaded:
                LOG.info("ensemble '%s' is ready again", model.name)

    def _obstacle(self, ensemble: Model, serving: Mapping[tuple[str, str], Model]) -> str:
        """Why an ensemble cannot run now; empty if it can."""
        meant = {step: candidates(step, ensemble.namespace, self._wanted) for step in steps_of(ensemble.config)}
        unclear = [f"'{step}' ({', '.join(there)})" for step, there in meant.items() if len(there) > 1]
        if unclear:
            return f"ensemble '{ensemble.name}' contains models that are ambiguous: {', '.join(unclear)}"

        def find(step: str, version: str) -> Model | None:
            return serving.get((meant[step][0], version)) if meant[step] else None

        return obstacle(ensemble.config, ensemble.spec, find)

    def _table(self, models: Iterable[Model]) -> dict[tuple[str, str], Model]:
        """Name and version -> model, of models in the order of their names and versions."""
        serving: dict[tuple[str, str], Model] = {}
        for model in models:
            names = [model.identifier]
            if model.namespace and len(self._wanted(model.name)) == 1:
                names.append(model.name)
            for name in names:
                serving[name, str(model.version)] = model
                serving[name, ""] = model  # the last one, so the highest version
        return serving


def parse_version(version: str) -> int:
    """A requested version as a number, -1 for none requested.

    Raises:
        InvalidArgumentError: not a number that fits 64 bits.
    """
    if not version:
        return -1
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 20 else 2**63
    if number >= 2**63:
        raise InvalidArgumentError(
            f"failed to get model version from specified version string '{version[:64]}', version should be an integral "
            "value"
        )
    return number
