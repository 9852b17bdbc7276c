"""What is known of each model by name: its versions, their states, and which loaded models answer requests."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InvalidArgumentError, NotFoundError, UnavailableError
from tcli_server.models.changes import Snapshot
from tcli_server.models.model import Model
from tcli_server.models.pushed import PushedFiles


class State(StrEnum):
    """A version's state, as the repository index shows it."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


UNLOADED = "unloaded"


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

    def ready(self) -> list[Model]:
        """Models that answer requests, lowest version first."""
        return [v.model for _, v in sorted(self.versions.items()) if v.state is State.READY and v.model is not None]


class Registry:
    """Entries by name, and the table that the hot path looks models up in.

    One lock orders every change together with its publication. The table is replaced as a whole, never changed, so that
    the hot path needs no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._serving: dict[tuple[str, str], Model] = {}
        self._ready: tuple[Model, ...] = ()
        self._closed = False

    # --- looking up ---

    def find(self, name: str, version: str = "") -> Model:
        """The model that answers for a name and a version (digits; empty for the highest one that is ready).

        Raises:
            InvalidArgumentError: the version is not a number.
            NotFoundError: no such model or version.
            UnavailableError: the version exists but is not ready.
        """
        model = self._serving.get((name, version))
        return model if model is not None else self._find_or_explain(name, version)

    def _find_or_explain(self, name: str, version: str) -> Model:
        unknown = f"Request for unknown model: '{name}'"
        number = parse_version(version)
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                raise NotFoundError(f"{unknown} is not found")
            if number == -1:
                ready = entry.ready()
                if not ready:
                    raise NotFoundError(f"{unknown} has no available versions")
                return ready[-1]
            known = entry.versions.get(number)
        if known is None:
            raise NotFoundError(f"{unknown} version {number} is not found")
        if known.state is not State.READY or known.model is None:
            raise UnavailableError(f"{unknown} version {number} is not at ready state")
        return known.model

    def models(self) -> tuple[Model, ...]:
        """Every model that is ready, in the order of name and version."""
        return self._ready

    def names(self) -> set[str]:
        """Every name that was ever asked to load."""
        with self._lock:
            return set(self._entries)

    def ready(self, name: str) -> list[Model]:
        """The versions of a model that are ready, lowest first."""
        with self._lock:
            entry = self._entries.get(name)
            return entry.ready() if entry else []

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
            versions, failure = sorted(entry.versions.items()), entry.failure
        if not versions:
            yield "", State.UNAVAILABLE, failure
        for number, version in versions:
            yield str(number), version.state, version.reason

    # --- changing ---

    def loading(self, name: str, versions: Sequence[int]) -> None:
        """These versions are being loaded; those that are READY go on answering until they are replaced."""
        with self._lock:
            entry = self._entries.setdefault(name, Entry())
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
            entry = self._entries.setdefault(name, Entry())
            gone = [model for model in entry.ready() if model not in models]
            replaced = {model.version for model in models}
            versions = {
                number: Version(State.UNLOADING, UNLOADED, version.model)
                if version.state is State.READY
                else Version(State.UNAVAILABLE, UNLOADED)
                for number, version in entry.versions.items()
                if number not in replaced
            }
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
            entry = self._entries.setdefault(name, Entry())
            reasons = dict(versions or {})
            for number, version in list(entry.versions.items()):
                if version.state is State.LOADING:
                    reasons.setdefault(number, "another version of the model failed to load")
            if entry.ready():
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

    def retire(self, name: str) -> tuple[list[Model], Source | None]:
        """Nothing of that name answers from now on; the models that did, and their source."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return [], None
            closing, source = entry.ready(), entry.source
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
            entry = self._entries.get(model.name, Entry())
            known = entry.versions.get(model.version)
            if known is not None and known.model is model and known.state is State.UNLOADING:
                entry.versions[model.version] = Version(State.UNAVAILABLE, UNLOADED)

    def _publish(self) -> None:
        serving: dict[tuple[str, str], Model] = {}
        ready: list[Model] = []
        for name, entry in sorted(self._entries.items()):
            for model in entry.ready():
                ready.append(model)
                serving[name, str(model.version)] = model
                serving[name, ""] = model  # the last one, so the highest version
        self._serving, self._ready = serving, tuple(ready)


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
