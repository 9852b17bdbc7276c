"""Files as they are: each is one element of BYTES."""

from tcli_batch.addresses import local_copy
from tcli_batch.errors import DataError, RowError
from tcli_batch.signature import Signature
from tcli_batch.sources import Single
from tcli_client.encoded import file_content
from tcli_client.errors import ImageError
from tcli_client.tensors import BYTES, Array


class WholeFiles(Single):
    """For a model whose only input is of BYTES and holds one element.

    Raises:
        DataError: the model takes something else.
    """

    def __init__(self, signature: Signature) -> None:
        inputs = signature.required
        if len(inputs) != 1 or inputs[0].datatype != BYTES or any(side not in (1, -1) for side in inputs[0].dims):
            raise DataError(
                f"model '{signature.model}' does not take whole files: its inputs are {', '.join(map(str, inputs))}",
                "one that does has a single input of TYPE_STRING with dims [1]",
            )
        self._input = inputs[0]

    def read(self, file: str) -> dict[str, Array]:
        try:
            with local_copy(file) as path:
                content = file_content(path)
        except ImageError as problem:
            raise RowError(str(problem)) from None
        except OSError as problem:
            raise RowError(f"it cannot be read: {problem}") from None
        return {self._input.name: content.reshape([1] * len(self._input.dims))}
