"""What a model's metadata and configuration say about classifying pictures with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2

from tcli_client.classifier_model import Batching, ClassifierModel
from tcli_client.errors import NotAClassifierError
from tcli_client.fitting import Fitting, Values
from tcli_client.picture_parameters import PREFIX, PictureParameters, read_parameters
from tcli_client.preprocess import Layout, PictureFormat, Scaling
from tcli_client.tensors import BYTES, DTYPES

SCALING_PARAMETER = "tcli_image_scaling"
"""Configuration parameter that names the scaling a model was trained with."""

PLACEHOLDER_PARAMETER = "tcli_placeholder"
"""Configuration parameter of a model whose weights are not trained; its value says what they are."""

DEFAULT_SIDE = 224
"""Height and width for a model that takes any."""

_FORMATS: dict[int, Layout] = {
    model_config_pb2.ModelInput.FORMAT_NCHW: "NCHW",
    model_config_pb2.ModelInput.FORMAT_NHWC: "NHWC",
}


_LEAST_SIDE, _LARGEST_SIDE = 4, 16_384
_LONGEST = 8
"""How many times as long as the other one a picture's side may be."""


@dataclass(frozen=True)
class ImageModel(ClassifierModel):
    """A model that takes the pixels of one picture and answers with one score per class.

    Attributes:
        scaling: what fits the model, as far as its configuration says.
    """

    form: PictureFormat
    scaling: Scaling | Values


def image_model(metadata: service_pb2.ModelMetadataResponse, config: model_config_pb2.ModelConfig | None) -> ImageModel:
    """Work out how a model takes pictures.

    Args:
        config: None from a server that does not tell; batching and layout are then read from the shapes.

    Raises:
        NotAClassifierError: says which of the model's tensors does not fit.
    """
    reading = _Reading(metadata, config or model_config_pb2.ModelConfig(), known=config is not None)
    return reading.model()


@dataclass(frozen=True)
class PictureInput:
    """How a model takes a picture, whatever it makes of it.

    Attributes:
        name: of the input.
        scaling: what fits the model, as far as its configuration says.
        leading: one picture has a dimension of 1 before it, which is the model's own.
        notes: what had to be assumed, one sentence each.
    """

    name: str
    form: PictureFormat
    scaling: Scaling | Values
    leading: bool
    notes: tuple[str, ...]


def picture_input(
    metadata: service_pb2.ModelMetadataResponse, config: model_config_pb2.ModelConfig | None
) -> PictureInput:
    """As `image_model`, of a model that may answer with anything.

    Raises:
        NotAClassifierError: its inputs are not the pixels of one picture.
    """
    return _Reading(metadata, config or model_config_pb2.ModelConfig(), known=config is not None).picture()


def encoded_model(
    metadata: service_pb2.ModelMetadataResponse, config: model_config_pb2.ModelConfig | None
) -> ClassifierModel:
    """The same of a model that takes the bytes of picture files, and decodes them itself.

    Raises:
        NotAClassifierError: it does not; says why.
    """
    return _Reading(metadata, config or model_config_pb2.ModelConfig(), known=config is not None).encoded()


class _Reading:
    """One model being understood; notes are collected on the way."""

    def __init__(
        self, metadata: service_pb2.ModelMetadataResponse, config: model_config_pb2.ModelConfig, known: bool
    ) -> None:
        self.metadata, self.config, self.known = metadata, config, known
        self.notes: list[str] = []

    def picture(self) -> PictureInput:
        source = self._pixels()
        batching, dims = self._batching(list(source.shape))
        if batching.fixed > 1:
            raise self._unfit(f"its input '{source.name}' takes {batching.fixed} pictures at a time")
        parameters = {key: value.string_value for key, value in self.config.parameters.items()}
        form, said = self._form(source, dims, parameters)
        scaling = said.values or self._scaling(parameters.get(SCALING_PARAMETER), source.datatype)
        return PictureInput(source.name, form, scaling, batching.kind == "explicit", tuple(self.notes))

    def _pixels(self) -> service_pb2.ModelMetadataResponse.TensorMetadata:
        source = self._only("input", self.metadata.inputs)
        if source.datatype == BYTES:
            raise NotAClassifierError(
                f"model '{self.metadata.name}' is not an image classifier: its input '{source.name}' is of type BYTES, not of "
                "pixel values",
                "if it takes picture files as they are, use --bytes",
            )
        if source.datatype not in DTYPES or source.datatype == "BOOL":
            raise self._unfit(f"its input '{source.name}' is of type {source.datatype}, not of pixel values")
        return source

    def model(self) -> ImageModel:
        source = self._pixels()
        target = self._only("output", self.metadata.outputs)
        self._check_scores(target)
        batching, dims = self._batching(list(source.shape))
        parameters = {key: value.string_value for key, value in self.config.parameters.items()}
        form, said = self._form(source, dims, parameters)
        return ImageModel(
            name=self.metadata.name,
            versions=tuple(self.metadata.versions),
            input=source.name,
            form=form,
            batching=batching,
            output=target.name,
            output_datatype=target.datatype,
            class_count=self._class_count(target, batching),
            scaling=said.values or self._scaling(parameters.get(SCALING_PARAMETER), source.datatype),
            placeholder=parameters.get(PLACEHOLDER_PARAMETER, ""),
            labelled=any(output.label_filename for output in self.config.output),
            notes=tuple(self.notes),
        )

    def encoded(self) -> ClassifierModel:
        name = self.metadata.name
        if len(self.metadata.inputs) != 1 or self.metadata.inputs[0].datatype != BYTES:
            taken = ", ".join(f"'{tensor.name}' of type {tensor.datatype}" for tensor in self.metadata.inputs)
            raise NotAClassifierError(
                f"model '{name}' does not take picture files: it takes {taken or 'nothing'}, not one tensor of BYTES",
                f"put what decodes them before it: tcli repo add-pictures {name}",
            )
        source, target = self.metadata.inputs[0], self._only("output", self.metadata.outputs)
        self._check_scores(target)
        shape = list(source.shape)
        if shape not in ([1], [-1, 1]):
            raise NotAClassifierError(
                f"model '{name}' does not take picture files: its input '{source.name}' has shape {shape}",
                "one that does has dims [1]",
            )
        largest = self.config.max_batch_size or None
        batching = Batching("none", 1) if shape == [1] else Batching("server", largest)
        parameters = {key: value.string_value for key, value in self.config.parameters.items()}
        return ClassifierModel(
            name=name,
            versions=tuple(self.metadata.versions),
            input=source.name,
            batching=batching,
            output=target.name,
            output_datatype=target.datatype,
            class_count=self._class_count(target, batching),
            placeholder=parameters.get(PLACEHOLDER_PARAMETER, ""),
            labelled=False,  # an ensemble has the names of its classifier, and does not say so
            notes=(),
        )

    def _check_scores(self, target: service_pb2.ModelMetadataResponse.TensorMetadata) -> None:
        if target.datatype in (BYTES, "BOOL") or target.datatype not in DTYPES:
            raise self._unfit(f"its output '{target.name}' is of type {target.datatype}, not of scores")

    def _only(
        self, kind: str, tensors: "list[service_pb2.ModelMetadataResponse.TensorMetadata]"
    ) -> service_pb2.ModelMetadataResponse.TensorMetadata:
        if len(tensors) != 1:
            names = ", ".join(f"'{tensor.name}'" for tensor in tensors)
            raise self._unfit(f"it has {len(tensors)} {kind}s ({names}), not one")
        return tensors[0]

    def _batching(self, shape: list[int]) -> tuple[Batching, list[int]]:
        """How requests are batched, and the input's dims without the batch dimension."""
        if self.config.max_batch_size > 0:
            return Batching("server", self.config.max_batch_size), shape[1:]
        if len(shape) != 4:
            return Batching("none", 1), shape
        if shape[0] != -1:
            return Batching("explicit", shape[0], shape[0]), shape[1:]
        # A server without the configuration extension may well batch: both kinds take the same requests.
        return Batching("explicit" if self.known else "server", None), shape[1:]

    def _form(
        self,
        source: service_pb2.ModelMetadataResponse.TensorMetadata,
        dims: list[int],
        parameters: Mapping[str, str],
    ) -> tuple[PictureFormat, PictureParameters]:
        if len(dims) != 3:
            raise self._unfit(f"its input '{source.name}' has shape {list(source.shape)}, not that of a picture")
        layout = self._layout(source.name, dims)
        channels, height, width = _by_layout(dims, layout)
        if channels not in (1, 3):
            raise self._unfit(f"its input '{source.name}' has {channels} channels, not 3 (RGB) or 1 (grey)")
        said = read_parameters(parameters, channels)
        self.notes += [f"model '{self.metadata.name}': {note}" for note in said.notes]
        if min(height, width) < 0:
            if said.size is None:
                self.notes.append(f"model '{self.metadata.name}' takes pictures of any size: {DEFAULT_SIDE} is used")
            sides = said.size or (DEFAULT_SIDE, DEFAULT_SIDE)
            height, width = (side if side > 0 else usual for side, usual in zip((height, width), sides, strict=True))
        form = PictureFormat(
            height, width, channels, layout, source.datatype, self._fitting(said, height, width), said.is_bgr
        )
        return form, said

    def _fitting(self, said: PictureParameters, height: int, width: int) -> Fitting:
        """The fitting that the configuration says, if it leaves as much of a picture as the model takes."""
        between = said.fitting.resize_to
        if between is None or (between[0] >= height and between[1] >= width):
            return said.fitting
        self.notes.append(
            f"model '{self.metadata.name}': {PREFIX}resize_to is {between[0]}x{between[1]}, less than the {height}x{width} that "
            "it takes: pictures are stretched to that"
        )
        return Fitting(interpolation=said.fitting.interpolation)

    def _layout(self, name: str, dims: list[int]) -> Layout:
        for config in self.config.input:
            if config.name == name and config.format in _FORMATS:
                return _FORMATS[config.format]
        layouts: tuple[Layout, ...] = ("NCHW", "NHWC")
        with_channels = [layout for layout in layouts if _by_layout(dims, layout)[0] in (1, 3)]
        if not with_channels:
            raise self._unfit(
                f"its input '{name}' with dims {dims} has no dimension of 3 (RGB) or 1 (grey) first or last",
            )
        fitting = [layout for layout in with_channels if _is_picture(*_by_layout(dims, layout))]
        if not fitting:
            raise NotAClassifierError(
                f"model '{self.metadata.name}' does not look like an image classifier: its input '{name}' with dims {dims} "
                "has not the height and width of a picture, and its configuration names no format",
                f"if it takes pictures, write format: FORMAT_{with_channels[0]} to that input in its config.pbtxt",
            )
        self.notes.append(f"model '{self.metadata.name}' names no format: {fitting[0]} is read from its dims {dims}")
        return fitting[0]

    def _class_count(self, target: service_pb2.ModelMetadataResponse.TensorMetadata, batching: Batching) -> int:
        alone = batching.kind == "none" or batching.fixed == 1  # then no dimension needs to be one of the batch
        dims = list(target.shape) if alone else list(target.shape)[1:]
        if sum(1 for dim in dims if dim != 1) > 1:
            raise self._unfit(f"its output '{target.name}' has shape {list(target.shape)}, not one score per class")
        return max(0, int(np.prod(dims, dtype=np.int64)))

    def _scaling(self, name: str | None, datatype: str) -> Scaling:
        if name and name.upper() in Scaling.__members__:
            return Scaling(name.upper())
        if name:
            self.notes.append(
                f"model '{self.metadata.name}' names an unknown {SCALING_PARAMETER} '{name}', not one of {', '.join(Scaling)}"
            )
        return Scaling.NONE if DTYPES[datatype].kind in "iu" else Scaling.INCEPTION

    def _unfit(self, reason: str) -> NotAClassifierError:
        return NotAClassifierError(
            f"model '{self.metadata.name}' is not an image classifier: {reason}",
            "an image classifier has one input with dims [3, height, width] or [height, width, 3] and one output with "
            "a score per class",
        )


def _by_layout(dims: list[int], layout: Layout) -> tuple[int, int, int]:
    """Channels, height and width."""
    first, second, third = dims
    return (first, second, third) if layout == "NCHW" else (third, first, second)


def _is_picture(channels: int, height: int, width: int) -> bool:
    """Whether these are probably a picture's; a side that varies is -1.

    Many tensors have three dimensions, one of them 1 or 3: sounds, their features, points in space. A grey picture must
    be square, or vary in both sides.
    """
    sides = [side for side in (height, width) if side >= 0]
    if any(not _LEAST_SIDE <= side <= _LARGEST_SIDE for side in sides):
        return False
    if channels == 1:
        return height == width
    return len(sides) < 2 or max(sides) <= _LONGEST * min(sides)
