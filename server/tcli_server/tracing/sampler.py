"""Which requests are traced: one in so many, and no more than so many."""

import threading

from tcli_server.tracing.options import TraceSettings


class Sampler:
    """Chooses by settings that stay the same; others begin to count anew, as Triton's."""

    def __init__(self, settings: TraceSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._asked = 0
        self._left = settings.count

    def take(self, forced: bool) -> bool:
        """Whether to trace the next request.

        Args:
            forced: whoever asks traces it already, which neither the rate nor the count stands against.
        """
        if not self.settings.level:
            return False
        return self._hit() or forced

    def _hit(self) -> bool:
        rate = self.settings.rate
        with self._lock:
            if not rate or not self._left:
                return False
            self._asked += 1
            if self._asked % rate:
                return False
            if self._left > 0:
                self._left -= 1
            return True
