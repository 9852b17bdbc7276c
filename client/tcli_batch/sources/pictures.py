"""Pictures, decoded and brought into the form that the model takes."""

from tcli_batch.addresses import local_copy
from tcli_batch.errors import DataError, RowError
from tcli_batch.signature import Signature
from tcli_batch.sources import Single
from tcli_client.discovery import describe
from tcli_client.errors import ImageError, NotAClassifierError
from tcli_client.image_model import picture_input
from tcli_client.preprocess import Scaling, check_scaling, preprocess
from tcli_client.tensors import Array
from tcli_client.transport import Transport


class Pictures(Single):
    """For a model whose only input is a picture's pixels.

    Args:
        scaling: None for what the model's configuration says.

    Attributes:
        notes: what had to be assumed about the model.

    Raises:
        DataError: the model takes something else.
        OptionError: the scaling does not go with the model's datatype.
    """

    def __init__(self, server: Transport, signature: Signature, scaling: Scaling | None = None) -> None:
        try:
            taken = picture_input(*describe(server, signature.model, signature.version))
        except NotAClassifierError as problem:
            raise DataError(str(problem), problem.fix) from None
        self._name, self._form = taken.name, taken.form
        self._scaling = scaling or taken.scaling
        self._leading = taken.leading
        self.notes = taken.notes
        check_scaling(self._scaling, self._form)

    def read(self, file: str) -> dict[str, Array]:
        try:
            with local_copy(file) as path:
                picture = preprocess(path, self._form, self._scaling)
        except ImageError as problem:
            raise RowError(f"{problem}; fix: {problem.fix}" if problem.fix else str(problem)) from None
        except OSError as problem:
            raise RowError(f"it cannot be read: {problem}") from None
        return {self._name: picture[None] if self._leading else picture}
