"""Loading, reloading and unloading of models by name (Triton's model control extension)."""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.hardware.memory import return_freed_memory
from tcli_server.models.loading import BackendConfig, LoadPlan, load_version, plan_load
from tcli_server.models.model import Model
from tcli_server.models.registry import UNLOADED, Entry, Registry, State, Version
from tcli_server.repository import ModelFolder, model_folders


class ModelControl:
    """Knows the repositories; one model loads at a time for each name, different names in parallel."""

    def __init__(self, repositories: Sequence[Path], auto_complete: bool, backend_config: BackendConfig) -> None:
        self.registry = Registry()
        self._repositories = repositories
        self._auto_complete = auto_complete
        self._backend_config = backend_config
        self._lock = threading.Lock()
        self._name_locks: dict[str, threading.Lock] = {}
        self._pushed = PushedFiles()

    # --- what is there ---

    def names_on_disk(self) -> list[str]:
        return sorted(model_folders(self._repositories))

    def ready_versions(self, name: str) -> list[str]:
        entry = self.registry.entries.get(name)
        return [str(model.version) for model in entry.ready()] if entry else []

    def all_ready(self) -> bool:
        """True if all that was asked to load is READY; what was unloaded on purpose does not count."""
        for entry in list(self.registry.entries.values()):
            if entry.failure:
                return False
            for version in entry.versions.values():
                if version.state is not State.READY and version.reason != UNLOADED:
                    return False
        return True

    def index(self) -> Iterator[tuple[str, str, str, str]]:
        """(name, version, state, reason) of each version; version and state are empty for a model never loaded."""
        folders = model_folders(self._repositories)
        entries = self.registry.entries
        for name in sorted({*folders, *entries}):
            entry = entries.get(name)
            if entry is None and len(folders.get(name, ())) > 1:
                yield name, "", State.UNAVAILABLE, _duplicates(name, folders[name])
            elif entry is None:
                yield name, "", "", ""
            elif not entry.versions:
                yield name, "", State.UNAVAILABLE, entry.failure
            else:
                for number, version in sorted(entry.versions.items()):
                    yield name, str(number), version.state, version.reason

    # --- load ---

    def load_or_record(self, name: str) -> None:
        """Load at start-up: a failure goes into the index, with its reason, instead of being raised."""
        try:
            self.load(name, None, {})
        except ServerError as error:
            entry = self.registry.entries.setdefault(name, Entry())
            entry.failure = entry.failure or str(error)

    def load(self, name: str, override: ModelConfig | None, files: Mapping[str, bytes]) -> None:
        """Raises as `Engine.load`."""
        _check_name(name)
        with self._lock:
            name_lock = self._name_locks.setdefault(name, threading.Lock())
        with name_lock:
            self._load(name, override, files)

    def _load(self, name: str, override: ModelConfig | None, files: Mapping[str, bytes]) -> None:
        folder = self._pushed.write(name, files, override) if files else self._folder(name)
        modified_ns = newest_change(folder.path)
        known = self.registry.entries.get(name)
        if known and override is None and not files:
            if known.ready() and modified_ns <= known.modified_ns and not self._pushed.holds(name):
                return
            if modified_ns <= known.modified_ns:
                override = known.override
        try:
            plan = plan_load(folder, override, self._auto_complete, self._backend_config)
        except ServerError as error:
            self._record_failure(name, str(error))
            if isinstance(error, InvalidArgumentError) and not _is_config_mistake(error):
                raise InvalidArgumentError(f"load failed for model '{name}': {error}") from None
            raise InternalError(f"failed to load '{name}', failed to poll from model repository: {error}") from None
        loaded, failed = _load_versions(plan)
        if failed:
            self._record_failed_versions(name, loaded, failed)
            reasons = " ".join(f"version {v} is at UNAVAILABLE state: {reason};" for v, reason in failed.items())
            raise InvalidArgumentError(f"load failed for model '{name}': {reasons}")
        if override is not None and not files:
            modified_ns = max(modified_ns, time.time_ns())
        self._swap(name, loaded, modified_ns, override)
        if not files:
            self._pushed.forget(name)

    def _folder(self, name: str) -> ModelFolder:
        candidates = model_folders(self._repositories).get(name, [])
        if len(candidates) != 1:
            reason = _duplicates(name, candidates) if candidates else f"no folder '{name}' in {self._places()}"
            raise InternalError(f"failed to load '{name}', failed to poll from model repository: {reason}")
        return candidates[0]

    def _places(self) -> str:
        return ", ".join(str(path) for path in self._repositories)

    def _record_failure(self, name: str, reason: str) -> None:
        """Remember why, unless an older copy goes on answering."""
        entry = self.registry.entries.setdefault(name, Entry())
        entry.modified_ns = 0
        if not entry.ready():
            entry.failure = reason

    def _record_failed_versions(self, name: str, loaded: Sequence[Model], failed: Mapping[int, str]) -> None:
        for model in loaded:
            model.close()
        entry = self.registry.entries.setdefault(name, Entry())
        entry.modified_ns = 0
        if entry.ready():
            return
        entry.failure = ""
        entry.versions = {v: Version(State.UNAVAILABLE, reason) for v, reason in failed.items()}
        for model in loaded:
            entry.versions[model.version] = Version(State.UNAVAILABLE, "another version of the model failed to load")
        self.registry.publish()

    def _swap(self, name: str, loaded: Sequence[Model], modified_ns: int, override: ModelConfig | None) -> None:
        old = self.registry.entries.get(name, Entry())
        versions = {number: Version(State.UNAVAILABLE, UNLOADED) for number in old.versions} | {
            model.version: Version(State.READY, "", model) for model in loaded
        }
        self.registry.entries[name] = Entry(versions, modified_ns, override)
        self.registry.publish()
        for model in old.ready():
            _close_in_background(model)

    # --- unload ---

    def unload(self, name: str) -> None:
        entry = self.registry.entries.get(name)
        if entry is None:
            return
        closing = entry.ready()
        entry.modified_ns, entry.override, entry.failure = 0, None, ""
        for version in entry.versions.values():
            version.state, version.reason, version.model = State.UNAVAILABLE, UNLOADED, None
        self.registry.publish()
        for model in closing:
            _close_in_background(model)
        self._pushed.forget(name)

    def unload_all(self, deadline: float) -> bool:
        """Close every model; True if all queued requests were answered before `deadline` (time.monotonic())."""
        models = list(self.registry.models())
        for model in models:
            model.close(timeout=0)
        drained = all(model.close(max(0.0, deadline - time.monotonic())) for model in models)
        for name in list(self.registry.entries):
            self.unload(name)
        return drained


class PushedFiles:
    """Models whose files came with the load request: each lives in a temporary folder until it is forgotten."""

    def __init__(self) -> None:
        self._folders: dict[str, tempfile.TemporaryDirectory[str]] = {}

    def holds(self, name: str) -> bool:
        return name in self._folders

    def write(self, name: str, files: Mapping[str, bytes], override: ModelConfig | None) -> ModelFolder:
        """Write the files to a fresh folder that is the model from now on.

        Raises:
            InternalError: no configuration with the files, or a path that leaves the folder.
        """
        if override is None:
            raise InternalError(
                f"failed to load '{name}', failed to poll from model repository: files are given without the 'config' "
                "parameter that describes them"
            )
        temporary = tempfile.TemporaryDirectory(prefix="tcli-model-")
        root = Path(temporary.name) / name
        root.mkdir()
        for path, content in files.items():
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or max(map(len, parts)) > 255:
                temporary.cleanup()
                raise InternalError(
                    f"failed to load '{name}', failed to poll from model repository: file path '{path}' leaves the "
                    "model's folder or is not a path"
                )
            target = root.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        self._folders[name] = temporary
        return ModelFolder(name, root)

    def forget(self, name: str) -> None:
        temporary = self._folders.pop(name, None)
        if temporary is not None:
            shutil.rmtree(temporary.name, ignore_errors=True)


def newest_change(folder: Path) -> int:
    """The newest modification time (ns) of a folder and everything in it; folders show additions and deletions."""
    newest = folder.stat().st_mtime_ns
    for path in folder.rglob("*"):
        try:
            newest = max(newest, path.stat().st_mtime_ns)
        except OSError:  # deleted while we looked
            continue
    return newest


def _load_versions(plan: LoadPlan) -> tuple[list[Model], dict[int, str]]:
    loaded: list[Model] = []
    failed: dict[int, str] = {}
    for version in plan.versions:
        try:
            loaded.append(load_version(plan, version))
        except ServerError as error:
            failed[version] = str(error)
        except Exception as error:  # a backend may raise anything on a strange file
            failed[version] = f"{type(error).__name__}: {error}"
    return loaded, failed


def _check_name(name: str) -> None:
    if not name.strip():
        raise InvalidArgumentError("Model name cannot be empty or consist only of whitespace")
    if name.strip() == ".." or "/" in name or "\\" in name:
        raise InvalidArgumentError("model name must not contain path traversal characters")


def _is_config_mistake(error: ServerError) -> bool:
    return bool(getattr(error, "problems", None))


def _duplicates(name: str, folders: Sequence[ModelFolder]) -> str:
    places = ", ".join(str(folder.path) for folder in folders)
    return f"model '{name}' is in several repositories and so in none: {places}"


def _close_in_background(model: Model) -> None:
    threading.Thread(target=_close, args=(model,), name=f"close {model.name}", daemon=True).start()


def _close(model: Model) -> None:
    model.close()
    return_freed_memory()
