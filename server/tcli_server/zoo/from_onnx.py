"""Makes a model folder from an ONNX file."""

import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput

from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.onnxruntime.graph import external_files, load_graph, model_signature
from tcli_server.backends.onnxruntime.kind import ONNXRUNTIME
from tcli_server.backends.onnxruntime.signature import read_session_signature
from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.repository.autocomplete import describe_tensor
from tcli_server.repository.config_text import format_config
from tcli_server.repository.labels import read_labels
from tcli_server.repository.staging import staged_folder
from tcli_server.signature import ModelSignature, TensorSignature
from tcli_server.zoo.batch_choice import choose_max_batch_size
from tcli_server.zoo.model_name import check_model_name
from tcli_server.zoo.other_formats import other_format
from tcli_server.zoo.picture_format import picture_format

LABEL_FILE = "labels.txt"

_NAMES_SHOWN = 5
_NO_TENSORS = {
    "SEQUENCE": "convert a scikit-learn classifier with options={'zipmap': False}, and make a tensor of any other sequence "
    "in the model (ConcatFromSequence)",
    "MAP": "convert a scikit-learn classifier with options={'zipmap': False}",
    "OPTIONAL": "export the model so that it always takes and gives a tensor here (OptionalGetElement)",
    "SPARSE_TENSOR": "export the model with a dense tensor here",
}
"""Kinds of ONNX values that are no tensors, and what to do about each."""


@dataclass(frozen=True, slots=True)
class AddedModel:
    """A model that was added: its folder, its configuration, and what the reader of it should know."""

    path: Path
    config: ModelConfig
    notes: tuple[str, ...]


def add_onnx_model(
    file: Path,
    repository: Path,
    name: str | None = None,
    labels: Path | None = None,
    max_batch_size: int | None = None,
    force: bool = False,
) -> AddedModel:
    """Write `<repository>/<name>/` with the file as version 1 and a configuration read off its graph.

    Without a `max_batch_size` a model gets 8 where all its inputs and outputs have a first dimension that varies and a batch
    of random items gives what the items give alone, any other 0. Weights in files of their own are copied along.

    Raises:
        ServerError: the file is no ONNX model, cannot be served as asked, or the folder exists and `force` is not given.
    """
    name = _model_name(file, name)
    model = _onnx_model(file)
    externals = [_external(file, location) for location in external_files(model)]
    signature = _known_signature(model, file)
    config = ModelConfig(name=name, platform=ONNXRUNTIME.platform)
    config.max_batch_size, notes = choose_max_batch_size(file, model, signature, max_batch_size)
    for tensor in signature.inputs:
        listed = config.input.add()
        describe_tensor(listed, tensor, config.max_batch_size)
        listed.format = picture_format(listed, config.max_batch_size)
    for tensor in signature.outputs:
        describe_tensor(config.output.add(), tensor, config.max_batch_size)
    if signature.overridable:
        left_out = ", ".join(tensor.name for tensor in signature.overridable[:_NAMES_SHOWN])
        more = ", ..." if len(signature.overridable) > _NAMES_SHOWN else ""
        notes.append(f"inputs that the file has values for are left out: {left_out}{more}")
    if config.max_batch_size > 1:
        config.dynamic_batching.SetInParent()
    if labels is not None:
        _attach_labels(config, labels)
    if (repository / name).exists() and not force:
        raise AlreadyExistsError(f"{repository / name} already exists")
    with staged_folder(repository / name, force) as folder:
        version = folder / "1"
        version.mkdir()
        shutil.copyfile(file, version / ONNXRUNTIME.model_file)
        for location, source in externals:
            (version / location).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, version / location)
        if labels is not None:
            shutil.copyfile(labels, folder / LABEL_FILE)
        (folder / "config.pbtxt").write_text(_config_text(config, file), "utf-8")
    return AddedModel(repository / name, config, tuple(notes))


def _model_name(file: Path, name: str | None) -> str:
    if name is not None:
        return check_model_name(name)
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", file.stem).strip("._-") or "model"


def _onnx_model(file: Path) -> onnx.ModelProto:
    """The model; a file of another framework is called what it is."""
    try:
        return load_graph(file)
    except ModelFileError:
        other = other_format(file)
        if other is None:
            raise
        raise InvalidArgumentError(f"{file} is {other[0]}, expected an ONNX model: {other[1]}") from None


def _known_signature(model: onnx.ModelProto, file: Path) -> ModelSignature:
    """The signature with every rank known, worked out by ONNX where neither the file nor ONNX Runtime says it."""
    declared = model_signature(model)
    for tensor in (*declared.inputs, *declared.outputs):
        _refuse_type(tensor, file)
    signature = read_session_signature(file)
    if not all(tensor.rank_known for tensor in (*signature.inputs, *signature.outputs)):
        signature = model_signature(onnx.shape_inference.infer_shapes(model))
    for tensor in (*signature.inputs, *signature.outputs):
        if not tensor.rank_known:
            raise InvalidArgumentError(
                f"{file} does not say how many dimensions '{tensor.name}' ({tensor.datatype}) has: "
                "export it with shapes of its inputs and outputs"
            )
    return signature


def _refuse_type(tensor: TensorSignature, file: Path) -> None:
    """Refuse what is no tensor, with what to do about it."""
    fix = _NO_TENSORS.get(tensor.datatype)
    if fix is not None:
        raise InvalidArgumentError(
            f"{file}: '{tensor.name}' is {_articled(tensor.datatype)}, Triton's protocol has tensors only: {fix}"
        )
    describe_tensor(ModelInput(), tensor, 0)


def _articled(kind: str) -> str:
    text = kind.lower().replace("_", " ")
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"


def _attach_labels(config: ModelConfig, labels: Path) -> None:
    """Name the label file at the one output that has as many classes as there are labels."""
    count = len(read_labels(labels))
    classes = {output.name: math.prod(output.dims) for output in config.output}
    fitting = [output for output in config.output if classes[output.name] == count]
    if not fitting and len(config.output) == 1 and classes[config.output[0].name] < 0:
        fitting = [config.output[0]]
    if not fitting:
        told = ", ".join(f"'{name}' has {size if size > 0 else 'a varying number'}" for name, size in classes.items())
        raise InvalidArgumentError(f"{labels} has {count} labels, but no output has as many classes: {told}")
    fitting[0].label_filename = LABEL_FILE


def _external(file: Path, location: str) -> tuple[str, Path]:
    path = PurePosixPath(location)
    if path.is_absolute() or ".." in path.parts:
        raise InvalidArgumentError(f"{file} keeps weights in '{location}', outside of its own folder: export it again")
    source = file.parent / location
    if not source.is_file():
        raise InvalidArgumentError(f"{file} keeps weights in '{location}', which is not beside it: put it there")
    return location, source


def _config_text(config: ModelConfig, file: Path) -> str:
    batching = config.max_batch_size > 0
    return format_config(
        config,
        header_comment=f"Written by 'tcli repo add' from {file.name}. Edit it freely, then run 'tcli repo check'.",
        comments={
            "name": "Must be the name of the model's folder.",
            "platform": "What runs the model: an ONNX file with ONNX Runtime.",
            "max_batch_size": (
                "The largest batch. Every input and output has a batch dimension in front that 'dims' does not list."
                if batching
                else "0: the model does not batch, so 'dims' lists every dimension."
            ),
            "input": "As the model file has them; -1 is a dimension that varies.",
            "dynamic_batching": "Joins waiting requests into batches of up to max_batch_size.",
        },
    )
