"""What is known of each model by name: its versions, their states, and which loaded models answer requests."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InvalidArgumentError, NotFoundError, UnavailableError
from tcli_server.models.model import Model


class State(StrEnum):
    """A version's state, as the repository index shows it."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


UNLOADED = "unloaded"


@dataclass(slots=True)
class Version:
    """One version: `reason` says why it is not READY."""

    state: State
    reason: str = ""
    model: Model | None = None


@dataclass(slots=True)
class Entry:
    """A model that was loaded at least once, or failed to.

    Attributes:
        modified_ns: newest modification time under the folder when it was last loaded; 0 makes the next load real.
        override: the configuration given to the load API, which stays in force until the folder changes.
        failure: why the model as a whole could not be loaded, where no version was reached.
    """

    versions: dict[int, Version] = field(default_factory=dict)
    modified_ns: int = 0
    override: ModelConfig | None = None
    failure: str = ""

    def ready(self) -> list[Model]:
        """Models that answer requests, lowest version first."""
        return [v.model for _, v in sorted(self.versions.items()) if v.state is State.READY and v.model is not None]


class Registry:
    """Entries by name, and the table that the hot path looks models up in.

    The table is replaced as a whole, never changed, so that readers need no lock.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._serving: dict[tuple[str, str], Model] = {}

    def publish(self) -> None:
        """Make the entries' READY versions the ones that answer requests."""
        serving = {}
        for name, entry in list(self.entries.items()):
            for model in entry.ready():
                serving[name, str(model.version)] = model
                serving[name, ""] = model  # the last one, so the highest version
        self._serving = serving

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
        entry = self.entries.get(name)
        if entry is None:
            raise NotFoundError(f"{unknown} is not found")
        if number == -1:
            ready = entry.ready()
            if not ready:
                raise NotFoundError(f"{unknown} has no available versions")
            return ready[-1]
        if number not in entry.versions:
            raise NotFoundError(f"{unknown} version {number} is not found")
        known = entry.versions[number]
        if known.state is not State.READY or known.model is None:
            raise UnavailableError(f"{unknown} version {number} is not at ready state")
        return known.model

    def models(self) -> Iterable[Model]:
        """Every model that is ready, in the order of name and version."""
        for _, entry in sorted(self.entries.items()):
            yield from entry.ready()


def parse_version(version: str) -> int:
    """A requested version as a number, -1 for none requested.

    Raises:
        InvalidArgumentError: not a number that fits 64 bits.
    """
    if not version:
        return -1
    try:
        number = int(version)
    except ValueError:
        number = 2**63
    if not 0 <= number < 2**63:
        raise InvalidArgumentError(
            f"failed to get model version from specified version string '{version}', version should be an integral value"
        )
    return number
