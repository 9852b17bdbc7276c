"""The backends that this server can have, and the state of each."""

from dataclasses import asdict, dataclass
from typing import Any

from tcli_server.backends import BackendKind
from tcli_server.backends.registry import BrokenBackendError, backend, installation, is_installed, kinds, version_of


@dataclass(frozen=True, slots=True)
class Listed:
    """One backend.

    Attributes:
        name: as `backend:` in a configuration.
        platform: as `platform:`, empty where there is no such word for it.
        files: names of its models' files.
        version: of what runs the models; empty if nothing does, or if that has no version of its own.
        devices: what instances can run on here.
        install: what brings it; empty if it is here.
        problem: why it does not work although it is installed; empty if it does.
    """

    name: str
    platform: str
    files: tuple[str, ...]
    version: str
    devices: tuple[str, ...]
    install: str
    problem: str

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def list_backends() -> list[Listed]:
    """Every backend of this server, installed or not. Imports those that are."""
    return [_listed(kind) for kind in kinds() if kind.implementation]


def _listed(kind: BackendKind) -> Listed:
    devices: tuple[str, ...] = ()
    problem = ""
    if is_installed(kind):
        try:
            found = backend(kind.name)
            devices = (*(() if found.only_on_gpu else ("CPU",)), *(("GPU",) if found.runs_on_gpu() else ()))
        except BrokenBackendError as error:
            problem = f"does not load: {error.reason}"
        except Exception as error:  # of a library that was asked for its devices
            problem = f"does not load: {type(error).__name__}: {error}"
    return Listed(
        kind.name,
        kind.platform,
        kind.files,
        version_of(kind) if is_installed(kind) else "",
        devices,
        installation(kind),
        problem,
    )
