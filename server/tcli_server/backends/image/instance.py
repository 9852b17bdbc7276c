"""One copy of a model of pictures: decodes in the thread that runs it. Pillow lets others run meanwhile."""

from collections.abc import Mapping, Sequence

import numpy as np

from tcli_server.backends import Instance
from tcli_server.backends.image.apart import is_for_apart, write_apart
from tcli_server.backends.image.decoding import decode
from tcli_server.backends.image.parameters import Plan
from tcli_server.backends.image.pixels import Pixels
from tcli_server.backends.rows import RowsError
from tcli_server.errors import ServerError
from tcli_server.signature import ModelSignature, TensorSignature


class ImageInstance(Instance):
    """Takes BYTES [batch, 1] and gives pixels [batch, ...].

    Args:
        batches: False for BYTES [1] and pixels without a batch dimension.
    """

    def __init__(self, plan: Plan, batches: bool) -> None:
        self._plan = plan
        self._batches = batches
        self._pixels = Pixels(plan)

    @property
    def signature(self) -> ModelSignature:
        """As `Instance.signature`."""
        batch = (-1,) if self._batches else ()
        return ModelSignature(
            (TensorSignature(self._plan.input, "BYTES", (*batch, 1)),),
            (TensorSignature(self._plan.output, self._plan.datatype, (*batch, *self._plan.shape)),),
        )

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`.

        Raises:
            RowsError: of some pictures of a batch nothing could be made.
            ServerError: of the one picture.
        """
        contents = inputs[self._plan.input].ravel().tolist()
        pixels = np.empty((len(contents), *self._plan.shape), self._pixels.dtype)
        errors: dict[int, ServerError] = {}
        for row, content in enumerate(contents):
            try:
                self._write(_bytes(content), pixels[row])
            except ServerError as error:
                if not self._batches:
                    raise
                errors[row] = error
        arrays = [pixels if self._batches else pixels[0] for _ in outputs]
        if errors:
            raise RowsError(errors, arrays)
        return arrays

    def _write(self, content: bytes, into: np.ndarray) -> None:
        if is_for_apart(content, self._plan):
            write_apart(content, self._plan, into)
        else:
            self._pixels.write(decode(content, self._plan), into)

    def close(self) -> None:
        """As `Instance.close`: it holds nothing."""


def _bytes(content: bytes | str) -> bytes:
    """What a client in the same process gave as text is no picture either, and is told so."""
    return content.encode() if isinstance(content, str) else content
