"""Puts the decoding of pictures before a classifier: an ensemble of the backend `image` and the classifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import TYPE_STRING, ModelConfig, ModelInput, ModelInstanceGroup, ModelOutput

from tcli_server.backends.image.kind import IMAGE
from tcli_server.backends.image.parameters import DEFAULT_INPUT, DEFAULT_OUTPUT, DEFAULT_SIDE, RULES, complaints
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.repository.config_text import format_config
from tcli_server.repository.ensemble_rules import ENSEMBLE
from tcli_server.repository.staging import staged_folder
from tcli_server.zoo.model_name import check_model_name
from tcli_server.zoo.picture_parameters import VALUES, carried_parameters, has_values
from tcli_server.zoo.picture_scaling import scaling_parameters

ENSEMBLE_SUFFIX, PREPROCESS_SUFFIX = "_pictures", "_preprocess"
DEFAULT_INSTANCES = 2

_DATATYPES = ("FP32", "FP16", "UINT8")
_MAX_BATCH_SIZE = 8
_CARRIED = ("tcli_placeholder",)
"""Parameters that are as true of the ensemble as of the classifier."""


@dataclass(frozen=True, slots=True)
class AddedPictures:
    """The two models that were added, and what the reader of their configurations should know."""

    ensemble: Path
    preprocess: Path
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """How a classifier takes a picture.

    Attributes:
        given: the shape of one picture as the configuration has it, without any batch dimension; -1 where it varies.
        shape: the same with sizes for what varies.
        dims: as the ensemble hands it over, without the batch dimension of `max_batch_size`.
        max_batch_size: of the two models.
        drops: the classifier's dims begin with a batch dimension of which its configuration does not know.
    """

    given: tuple[int, ...]
    shape: tuple[int, ...]
    dims: tuple[int, ...]
    max_batch_size: int
    drops: bool
    channels_first: bool

    @property
    def given_picture(self) -> tuple[int, ...]:
        """Height, width and channels, -1 where they vary."""
        return (*self.given[1:], self.given[0]) if self.channels_first else self.given


def add_pictures(
    repository: Path,
    classifier: ModelConfig,
    name: str | None = None,
    parameters: Mapping[str, str] | None = None,
    scaling: str | None = None,
    instances: int = DEFAULT_INSTANCES,
    force: bool = False,
) -> AddedPictures:
    """Write `<name>` and `<name>_preprocess` beside a classifier.

    Args:
        classifier: its complete configuration.
        name: of the ensemble; `<classifier>_pictures` by default.
        parameters: of the backend `image`, in place of what follows from the classifier.
        scaling: NONE, INCEPTION, VGG or IMAGENET, as `tcli infer` knows them; what the classifier says by default.
        instances: pictures that are decoded at the same time.

    Raises:
        InvalidArgumentError: the classifier does not take one picture, or the parameters do not fit.
        AlreadyExistsError: one of the models is there and `force` is not given.
    """
    name = check_model_name(name or f"{classifier.name}{ENSEMBLE_SUFFIX}")
    notes: list[str] = []
    taken = read_taken(classifier, notes)
    preprocess = _preprocess(classifier, f"{name}{PREPROCESS_SUFFIX}", taken, parameters or {}, scaling, instances)
    ensemble = _ensemble(classifier, name, preprocess, taken)
    for one in (ensemble, preprocess):
        if (repository / one.name).exists() and not force:
            raise AlreadyExistsError(f"{repository / one.name} already exists")
    _write(
        repository,
        preprocess,
        force,
        f"Decodes pictures for {classifier.name}. Written by 'tcli repo add-pictures'; edit it freely, then run "
        "'tcli repo check'.",
        {
            "backend": "A backend of tcli's server; there is no model file.",
            "max_batch_size": "As that of the classifier.",
            "input": "The bytes of a JPEG, PNG or WebP file.",
            "instance_group": "So many pictures are decoded at the same time.",
            "parameters": "What becomes of a picture; docs/repository.md lists the parameters.",
        },
    )
    _write(
        repository,
        ensemble,
        force,
        f"Pictures in, classes out: decoding and {classifier.name}. Written by 'tcli repo add-pictures'.",
        {"output": "Class names are those of the classifier."},
    )
    return AddedPictures(repository / ensemble.name, repository / preprocess.name, tuple(notes))


def _write(repository: Path, config: ModelConfig, force: bool, header: str, comments: Mapping[str, str]) -> None:
    with staged_folder(repository / config.name, force) as folder:
        (folder / "1").mkdir()
        (folder / "config.pbtxt").write_text(format_config(config, header, comments), "utf-8")


def _preprocess(
    classifier: ModelConfig,
    name: str,
    taken: Taken,
    parameters: Mapping[str, str],
    scaling: str | None,
    instances: int,
) -> ModelConfig:
    config = ModelConfig(name=name, backend=IMAGE.name, max_batch_size=taken.max_batch_size)
    config.input.append(_picture_input())
    output = ModelOutput(name=DEFAULT_OUTPUT, data_type=classifier.input[0].data_type, dims=taken.dims)
    if taken.dims != taken.shape:
        output.reshape.shape.extend(taken.shape)
    config.output.append(output)
    config.instance_group.append(ModelInstanceGroup(count=instances, kind=ModelInstanceGroup.KIND_CPU))
    channels = taken.shape[0 if taken.channels_first else 2]
    carried = {key: value for key, value in carried_parameters(classifier).items() if key not in ("height", "width")}
    replaced = (*(VALUES if scaling is not None else ()), *(("resize_to",) if "resize" in parameters else ()))
    carried = {key: value for key, value in carried.items() if key not in replaced}
    color_format = {**carried, **parameters}.get("color_format", "RGB")
    settled = {} if has_values(carried) else scaling_parameters(classifier, scaling, channels, color_format)
    layout = "NCHW" if taken.channels_first else "NHWC"
    for key, value in {"layout": layout, **settled, **carried, **parameters}.items():
        config.parameters[key].string_value = value
    for complaint in complaints(config):
        raise InvalidArgumentError(
            f"{complaint.field}: found {complaint.found}, expected {complaint.expected}; fix: {complaint.fix}"
        )
    return config


def _ensemble(classifier: ModelConfig, name: str, preprocess: ModelConfig, taken: Taken) -> ModelConfig:
    config = ModelConfig(name=name, platform=ENSEMBLE, max_batch_size=taken.max_batch_size)
    config.input.append(_picture_input())
    for output in classifier.output:
        dims = output.dims[1:] if taken.drops else output.dims
        config.output.append(ModelOutput(name=output.name, data_type=output.data_type, dims=dims))
    first = config.ensemble_scheduling.step.add(model_name=preprocess.name, model_version=-1)
    first.input_map[DEFAULT_INPUT] = DEFAULT_INPUT
    first.output_map[DEFAULT_OUTPUT] = DEFAULT_OUTPUT
    second = config.ensemble_scheduling.step.add(model_name=classifier.name, model_version=-1)
    second.input_map[classifier.input[0].name] = DEFAULT_OUTPUT
    for output in classifier.output:
        second.output_map[output.name] = output.name
    for key in _CARRIED:
        if key in classifier.parameters:
            config.parameters[key].CopyFrom(classifier.parameters[key])
    return config


def _picture_input() -> ModelInput:
    return ModelInput(name=DEFAULT_INPUT, data_type=TYPE_STRING, dims=[1])


def read_taken(classifier: ModelConfig, notes: list[str]) -> Taken:
    """How the classifier takes a picture.

    Raises:
        InvalidArgumentError: it does not; says what does not fit.
    """
    if len(classifier.input) != 1 or not classifier.output:
        raise _unfit(classifier, f"it has {len(classifier.input)} inputs, not one")
    source = classifier.input[0]
    kind = BY_CONFIG_TYPE.get(source.data_type)
    if kind is None or kind.name not in _DATATYPES:
        found = kind.name if kind is not None else "no type"
        raise _unfit(classifier, f"its input '{source.name}' is of type {found}, not FP32, FP16 or UINT8")
    dims, max_batch_size, drops = tuple(source.dims), classifier.max_batch_size, False
    shape = dims
    if len(dims) == 4 and max_batch_size == 0 and dims[0] in (-1, 1):
        shape = dims[1:]
        drops = dims[0] == -1 and all(output.dims[0] == -1 for output in classifier.output)
        max_batch_size = _MAX_BATCH_SIZE if drops else 0
    if len(shape) != 3:
        raise _unfit(classifier, f"its input '{source.name}' has dims {list(dims)}")
    channels_first = source.format == ModelInput.FORMAT_NCHW or (
        source.format != ModelInput.FORMAT_NHWC and shape[0] in (1, 3)
    )
    if shape[0 if channels_first else 2] not in (1, 3):
        raise _unfit(
            classifier, f"its input '{source.name}' with dims {list(dims)} has no dimension of 3 or 1 channels"
        )
    given = shape
    if -1 in shape:
        shape = _sized(classifier, shape, channels_first, notes)
    handed = shape if drops or len(dims) == 3 else (1, *shape)
    return Taken(given, shape, handed, max_batch_size, drops, channels_first)


def _sized(classifier: ModelConfig, shape: tuple[int, ...], channels_first: bool, notes: list[str]) -> tuple[int, ...]:
    """The shape with the sides that the configuration names for pictures of any size, else the usual ones."""
    carried = carried_parameters(classifier)
    named = [carried.get(key, "") for key in ("height", "width")]
    if all(RULES["height"].fits(side) for side in named):
        sides = [int(side) for side in named]
    else:
        notes.append(f"{classifier.name} takes pictures of any size: {DEFAULT_SIDE} is used")
        sides = [DEFAULT_SIDE, DEFAULT_SIDE]
    wanted = (shape[0], *sides) if channels_first else (*sides, shape[2])
    return tuple(named if side == -1 else side for side, named in zip(shape, wanted, strict=True))


def _unfit(classifier: ModelConfig, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"model '{classifier.name}' does not take one picture: {reason}; expected one input with dims "
        "[3, height, width] or [height, width, 3]"
    )
