"""Items from picture files: exactly what `tcli infer` would send of them to the model."""

from collections.abc import Sequence

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.errors import DataError, UnusableItemError
from tcli_analyzer.data.model_input import ModelInput
from tcli_client.encoded import file_content
from tcli_client.errors import ClientError, ImageError, NotAClassifierError
from tcli_client.image_model import ImageModel, image_model
from tcli_client.picture import read_picture
from tcli_client.picture_files import find_pictures
from tcli_client.preprocess import check_scaling, preprocess

_CHECKED_SIZE = (224, 224)


class PictureColumn:
    """Pictures in the size, layout and scaling of the model; as `Column`.

    Args:
        model: how the input takes pictures.
    """

    def __init__(self, argument: str, files: Sequence[str], to: ModelInput, model: ImageModel) -> None:
        self.source = _called(argument, files)
        self.count: int | None = len(files) // _together(model)
        self.notes = list(model.notes)
        self._files = files
        self._to = to
        self._model = model
        try:
            check_scaling(model.scaling, model.form)
        except ClientError as error:
            raise DataError(f"input '{to.name}': {error}", error.fix) from None
        if not self.count:
            raise DataError(
                f"{argument}: input '{to.name}' takes {_together(model)} pictures at once, found {len(files)}",
                "give more pictures",
            )

    def item(self, index: int) -> np.ndarray:
        count = _together(self._model)
        pictures = [self._picture(file) for file in self._files[index * count : (index + 1) * count]]
        return self._to.fitted(pictures[0] if count == 1 else np.stack(pictures), self._files[index * count])

    def _picture(self, file: str) -> np.ndarray:
        try:
            return preprocess(file, self._model.form, self._model.scaling)
        except ImageError as error:
            raise UnusableItemError(f"{file} ({error})") from None


class EncodedColumn:
    """The bytes of picture files, for a model that decodes them itself; as `Column`.

    Each file is decoded once to see that it is a whole picture: a model's complaint would not name the file.
    """

    def __init__(self, argument: str, files: Sequence[str], to: ModelInput) -> None:
        self.source = _called(argument, files)
        self.count: int | None = len(files)
        self.notes: list[str] = []
        self._files = files
        self._to = to

    def item(self, index: int) -> np.ndarray:
        file = self._files[index]
        try:
            read_picture(file, "RGB", _CHECKED_SIZE)
            return self._to.fitted(file_content(file), file)
        except ImageError as error:
            raise UnusableItemError(f"{file} ({error})") from None


def picture_column(argument: str, config: ModelConfig, to: ModelInput) -> PictureColumn | EncodedColumn:
    """The pictures behind an argument (a file, a folder, a pattern), for an input.

    Raises:
        DataError: there are none, or the input takes no pictures.
    """
    try:
        files = find_pictures(argument)
    except ImageError as error:
        raise DataError(f"{argument}: {error}", error.fix) from None
    if not to.kind.size:
        if to.dims not in ((1,), (-1,), (1, 1), (-1, 1)):
            raise DataError(
                f"{argument}: input '{to.name}' takes {to.described}, not one picture file an item",
                "its dims would be [1]",
            )
        return EncodedColumn(argument, files, to)
    try:
        return PictureColumn(argument, files, to, _as_image_model(config, to))
    except NotAClassifierError as error:
        raise DataError(
            f"{argument}: pictures cannot be given to input '{to.name}': {error}", "give arrays: --input NAME:file.npy"
        ) from None


def takes_pictures(config: ModelConfig, to: ModelInput) -> bool:
    """Whether an input looks like one for pixels."""
    try:
        _as_image_model(config, to)
    except NotAClassifierError:
        return False
    return True


def _as_image_model(config: ModelConfig, to: ModelInput) -> ImageModel:
    """What the client reads of an input, whatever the model's other tensors are."""
    shape = [-1, *to.dims] if config.max_batch_size else list(to.dims)
    tensor = service_pb2.ModelMetadataResponse.TensorMetadata
    metadata = service_pb2.ModelMetadataResponse(
        name=config.name,
        inputs=[tensor(name=to.name, datatype=to.kind.name, shape=shape)],
        outputs=[tensor(name="scores", datatype="FP32", shape=[1] if not config.max_batch_size else [-1, 1])],
    )
    return image_model(metadata, config)


def _together(model: ImageModel) -> int:
    return max(1, model.batching.fixed)


def _called(argument: str, files: Sequence[str]) -> str:
    return argument if len(files) == 1 else f"{argument} ({len(files):,} pictures)"
