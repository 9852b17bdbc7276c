"""When a frame is shown, of files that say so in more or less orderly ways."""

_DIGITS = 6


class Clock:
    """Seconds since the first frame, from the times that a file gives its frames.

    Recordings may begin at any time, have frames without a time, and begin anew in the middle; a time never goes back.

    Args:
        step: seconds between two frames where the file does not say.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._offset: float | None = None
        self._last = -step

    def of(self, stamp: float | None) -> float:
        """The time of the next frame, whose file says `stamp`."""
        if stamp is None:
            self._last += self._step
            return round(self._last, _DIGITS)
        if self._offset is None or stamp + self._offset < self._last:
            self._offset = self._last + self._step - stamp
        self._last = stamp + self._offset
        return round(self._last, _DIGITS)
