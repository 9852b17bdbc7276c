"""How much two right answers to the same input may differ: by rounding, and by nothing else.

A batch is computed by other kernels than one item, which add the same numbers up in another order. So:

- FP32, FP64: 0.1 % of the largest value. Rounding leaves some 1e-7 a sum, and about 1e-5 behind a hundred layers; what a
  batch has mixed differs by percents. FP64 has no smaller one, as what is inside of a model may be FP32.
- FP16, BF16: 2 %, as the last bit alone is worth 0.1 % and 0.8 %.
- Where the answers to different items are close to each other, less: a tenth of what tells them apart, but at least a
  tenth of the above.
- Integers, booleans and strings: none. Whole numbers of 8 and 16 bits may be one apart where nothing else in the batch
  has an influence: they are real numbers that were rounded.
- Models that compute in less than their outputs promise (BF16 on CPUs, TF32 on GPUs, autocast) may be `FROM_LESS` apart,
  where nothing else in the batch has an influence.
"""

from collections.abc import Sequence

import ml_dtypes
import numpy as np

TOLERANCE = 1e-3
HALF_TOLERANCE = 2e-2
FROM_LESS = 5e-2

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_SMALL_SHARE = 1e-3
"""An item's answer counts as at least this share of the largest one: sums that are nearly zero have large relative errors."""


def is_real(dtype: np.dtype) -> bool:
    """Whether numbers of this type are rounded."""
    return dtype.kind == "f" or dtype == _BFLOAT16


def tolerance(dtype: np.dtype) -> float:
    """The most that rounding changes, relative to the largest value; 0 for what must be the same."""
    if not is_real(dtype):
        return 0.0
    return HALF_TOLERANCE if dtype.itemsize < 4 else TOLERANCE


def allowed(answers: Sequence[np.ndarray]) -> float:
    """How much an answer may differ, given the answers to different items."""
    most = tolerance(answers[0].dtype)
    return max(most / 10, min(most, apart(answers) / 10))


def apart(answers: Sequence[np.ndarray]) -> float:
    """How much the answers to different items differ from the first one's."""
    first, *others = answers
    return max((difference(other, first) for other in others), default=0.0)


def is_off_by_one(got: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether whole numbers that may be rounded real ones are nowhere more than one apart."""
    if got.dtype.kind not in "iu" or got.dtype.itemsize > 2 or got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    return not got.size or int(np.abs(got.astype(np.int32) - wanted.astype(np.int32)).max()) <= 1


def difference(got: np.ndarray, wanted: np.ndarray, scale: float = 0.0) -> float:
    """The largest difference, relative to the largest value wanted.

    Args:
        scale: the largest value of all answers, which one that is very small is not measured by.

    Returns:
        1 for unequal values that are no real numbers; infinity for other shapes or types, and for numbers that are only
        in one of them finite.
    """
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return float("inf")
    if not is_real(got.dtype):
        return float(not np.array_equal(got, wanted))
    if not got.size:
        return 0.0
    worst = float(_differences(got, wanted).max()) / _scale(wanted, scale)
    return worst if np.isfinite(worst) else float("inf")


def place_of_largest(got: np.ndarray, wanted: np.ndarray) -> tuple[int, ...]:
    """Where two answers of one shape differ most; the first place for what is not a number."""
    if not is_real(got.dtype):
        flat = int(np.argmax(np.asarray(got != wanted)))
    else:
        flat = int(np.argmax(np.nan_to_num(_differences(got, wanted), nan=np.inf)))
    return tuple(int(index) for index in np.unravel_index(flat, got.shape))


def largest(array: np.ndarray) -> float:
    """The largest finite value, without its sign; 0 where there is none."""
    if not is_real(array.dtype):
        return 0.0
    values = np.abs(array.astype(np.float64))
    return float(values[np.isfinite(values)].max(initial=0.0))


def _scale(wanted: np.ndarray, scale: float) -> float:
    return max(largest(wanted), _SMALL_SHARE * scale) or 1.0


def _differences(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    one, other = got.astype(np.float64), wanted.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, np.abs(one - other))
