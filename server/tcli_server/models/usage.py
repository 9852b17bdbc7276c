"""When each loaded model was last used, told from its counters, so that requests have nothing to note."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from tcli_server.models.model import Model


class Usage:
    """Looks at the models from time to time.

    A model was used since the last look if its counters changed or something of it is under way. Among those that were
    used between the same two looks, the time of the last inference decides.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, float]] = {}  # what was counted, and when that was last found changed

    def look(self, models: Mapping[str, Sequence[Model]]) -> dict[str, float]:
        """Name -> when each model was last found used (time.monotonic()); of models that are new here, now."""
        now = time.monotonic()
        with self._lock:
            before, self._seen = self._seen, {}
            for name, versions in models.items():
                counted = sum(map(_counted, versions))
                known = before.get(name)
                quiet = known is not None and known[0] == counted and all(model.unused for model in versions)
                self._seen[name] = known if known is not None and quiet else (counted, now)
            return {name: when for name, (_, when) in self._seen.items()}


def longest_unused_first(models: Mapping[str, Sequence[Model]], used: Mapping[str, float]) -> list[str]:
    """The names, the best one to unload first.

    Args:
        used: as `Usage.look`.
    """
    return sorted(models, key=lambda name: (used[name], _last_inference(models[name])))


def _last_inference(versions: Iterable[Model]) -> int:
    return max((model.statistics.last_inference_ms for model in versions), default=0)


def _counted(model: Model) -> int:
    """Grows with whatever happens to a model's requests; tells one copy of the model from the next."""
    statistics = model.statistics
    return id(model) + statistics.success_count + statistics.fail_count + statistics.execution_count
