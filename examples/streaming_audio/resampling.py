"""From any rate to the model's, piece by piece: a windowed sinc, so that what the new rate cannot hold does not fold back."""

from math import gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_ZEROS = 16
"""Zero crossings of the sinc on each side: damping of 45 dB and more, and 1 ms of look-ahead at 16 kHz."""


class Resampler:
    """Resamples sound that comes in pieces; the pieces' borders leave no trace.

    Args:
        old: rate of what comes, in Hz.
        new: rate of what is wanted, in Hz.
    """

    def __init__(self, old: int, new: int) -> None:
        common = gcd(old, new)
        self._old, self._new = old // common, new // common
        cutoff = new / old * (1 - 1 / _ZEROS) if new < old else 1.0  # of what the old rate holds
        self._half = int(np.ceil(_ZEROS / cutoff))
        # Row p: the weights for a sample that lies p/new of an old sample's length after the middle one.
        taps = np.arange(-self._half + 1, self._half + 1)
        distances = taps - np.arange(self._new)[:, np.newaxis] / self._new
        window = np.cos(np.clip(distances / self._half, -1, 1) * np.pi / 2) ** 2
        weights = np.sinc(distances * cutoff) * window
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        self._kept = np.zeros(self._half - 1, np.float32)  # silence before the first sample
        self._done = 0  # new samples made, counted from where `_kept` begins
        self._taken = self._given = 0

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """The new samples that follow from these old ones and those before, FP32 [any]."""
        self._taken += len(samples)
        self._kept = np.concatenate((self._kept, samples))
        count = len(self._kept) - 2 * self._half + 1
        if count < 1:
            return np.zeros(0, np.float32)
        # Sample n lies at n * old / new; those whose last neighbour is there can be made.
        last = (count * self._new - 1) // self._old
        places = np.arange(self._done, last + 1) * self._old
        windows = sliding_window_view(self._kept, 2 * self._half)[places // self._new]
        made: np.ndarray = np.einsum("ij,ij->i", windows, self._weights[places % self._new])
        # Forget whole rounds of old samples only, so that places stay whole numbers.
        self._done = last + 1
        rounds = self._done // self._new
        self._kept = self._kept[rounds * self._old :]
        self._done -= rounds * self._new
        self._given += len(made)
        return made

    def finish(self) -> np.ndarray:
        """What is left, as if silence followed."""
        wanted = -(-self._taken * self._new // self._old) - self._given
        return self.feed(np.zeros(self._half, np.float32))[:wanted]
