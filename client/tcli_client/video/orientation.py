"""How a frame is turned to stand upright, by the display matrix that phones write."""

import struct

from PIL.Image import Transpose

MATRIX_BYTES = 36
_MATRIX = struct.Struct("=9i")


def turn(matrix: bytes) -> Transpose | None:
    """The turn, the reflection or both, to the nearest quarter; None for none.

    Args:
        matrix: nine integers a b u c d v x y w. A pixel p to the right and q down of the stored frame's corner is shown at
            (a p + c q, b p + d q), but for where the picture begins.
    """
    a, b, _, c, d, *_ = _MATRIX.unpack(matrix)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _UPRIGHT[a < 0, d < 0]
    return _SIDEWAYS[b < 0, c < 0]


_UPRIGHT = {
    (False, False): None,
    (True, False): Transpose.FLIP_LEFT_RIGHT,
    (False, True): Transpose.FLIP_TOP_BOTTOM,
    (True, True): Transpose.ROTATE_180,
}
_SIDEWAYS = {
    (False, False): Transpose.TRANSPOSE,
    (True, False): Transpose.ROTATE_90,
    (False, True): Transpose.ROTATE_270,
    (True, True): Transpose.TRANSVERSE,
}
