"""`poll`: the repositories are looked at again and again, and what changed there is loaded and unloaded."""

import threading
from collections.abc import Sequence

from tcli_server.errors import ServerError
from tcli_server.models.changes import Snapshot, take_snapshot
from tcli_server.models.control import ModelControl
from tcli_server.observability.log import LOG
from tcli_server.repository import ModelFolder


class Polling:
    """Looks at the repositories in a thread.

    To be made before the models are loaded that are there at first, so that no change is missed that comes meanwhile.

    A folder that could not be loaded is tried again when something in it changes, not each time; an ensemble also when
    another model changes, which may be what it waits for.

    Args:
        interval_secs: between two looks.

    Raises:
        NotFoundError, UnsupportedError: as `ModelControl.folders_on_disk`.
    """

    def __init__(self, control: ModelControl, interval_secs: float) -> None:
        self._control = control
        self._interval_secs = interval_secs
        self._seen = self._look()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="repository poll", daemon=True)

    def start(self) -> None:
        """Begin; what was there when this was made is loaded."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; does not wait for a look that is under way."""
        self._stopped.set()

    def _poll(self) -> None:
        while not self._stopped.wait(self._interval_secs):
            try:
                self._follow(self._look())
            except ServerError as error:  # the repository is away for a moment: nothing is unloaded for that
                LOG.warning("the model repository cannot be polled: %s", error)
            except Exception:
                LOG.exception("the model repository could not be polled")

    def _look(self) -> dict[str, list[Snapshot]]:
        return {name: _snapshots(folders) for name, folders in self._control.folders_on_disk().items()}

    def _follow(self, now: dict[str, list[Snapshot]]) -> None:
        before, self._seen = self._seen, now
        gone = sorted(before.keys() - now.keys())
        changed = sorted(name for name, snapshots in now.items() if before.get(name) != snapshots)
        unloads = {name: self._control.unload(name) for name in gone}
        loads = {name: self._control.load(name, None, {}) for name in changed}
        for name, done in (*unloads.items(), *loads.items()):  # a look begins only when all of the one before is done
            error = done.exception()
            if error is not None:
                LOG.warning("%s", error)
            elif name in unloads:
                LOG.info("'%s' is gone from the repository: unloaded", name)
            else:
                LOG.info("'%s' has changed in the repository: loaded", name)
        if gone or changed:
            self._load_waiting(sorted(now.keys() - set(changed)))

    def _load_waiting(self, names: Sequence[str]) -> None:
        for name, done in [(name, self._control.load(name, None, {})) for name in self._control.waiting(names)]:
            if done.exception() is None:
                LOG.info("'%s' has all of its models now: loaded", name)


def _snapshots(folders: Sequence[ModelFolder]) -> list[Snapshot]:
    return [take_snapshot(folder) for folder in folders]
