"""What a user tells of a model's inputs where the model itself says nothing: `--input x:FP32:-1,3,224,224`."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InvalidArgumentError
from tcli_server.signature import ModelSignature, TensorSignature

_FORM = "NAME:TYPE:SHAPE, as x:FP32:-1,3,224,224 with every dimension, -1 for one that varies"
_SHAPE = re.compile(r"\[?\s*((?:-1|[1-9][0-9]{0,9})(?:\s*[,x]\s*(?:-1|[1-9][0-9]{0,9}))*)?\s*\]?")
_SHOWN = 4


def read_input(text: str) -> TensorSignature:
    """An input as it is written.

    Raises:
        InvalidArgumentError: it is not written so; says how.
    """
    name, _, rest = text.rpartition(":")
    name, _, kind = name.rpartition(":")
    kind = kind.upper().removeprefix("TYPE_").replace("STRING", "BYTES")
    shape = _SHAPE.fullmatch(rest)
    if not name or not shape:
        raise InvalidArgumentError(f"'{text}' is no input: expected {_FORM}")
    if kind not in BY_NAME:
        raise InvalidArgumentError(f"'{text}' has the type {kind[:40]!r}, expected one of {', '.join(BY_NAME)}")
    return TensorSignature(name, kind, tuple(int(dim) for dim in re.findall(r"-?[0-9]+", shape[1] or "")))


def is_complete(signature: ModelSignature) -> bool:
    """Whether there are outputs, and the type and the number of dimensions of everything are known."""
    return bool(signature.outputs) and all(
        tensor.datatype and tensor.rank_known for tensor in (*signature.inputs, *signature.outputs)
    )


def with_told(signature: ModelSignature, told: Sequence[TensorSignature], file: Path) -> ModelSignature:
    """The signature with what is told of inputs: what was not known, or a size for what varies.

    Raises:
        InvalidArgumentError: there is no such input, or it is another one.
    """
    known = {tensor.name: tensor for tensor in (*signature.inputs, *signature.overridable)}
    for tensor in told:
        if tensor.name not in known:
            raise InvalidArgumentError(f"{file} has no input '{tensor.name}': it has {', '.join(known) or 'none'}")
        _check(tensor, known[tensor.name], file)
    ours = {tensor.name: tensor for tensor in told}
    moved = tuple(replace(ours[one.name], default=None) for one in signature.overridable if one.name in ours)
    return replace(
        signature,
        inputs=(*(ours.get(tensor.name, tensor) for tensor in signature.inputs), *moved),
        overridable=tuple(tensor for tensor in signature.overridable if tensor.name not in ours),
    )


def _check(told: TensorSignature, known: TensorSignature, file: Path) -> None:
    if known.datatype and told.datatype != known.datatype:
        raise InvalidArgumentError(
            f"the input '{told.name}' of {file} is {known.datatype}, not {told.datatype} as told"
        )
    fits = len(told.shape) == len(known.shape) and all(
        size in (-1, said) for size, said in zip(known.shape, told.shape, strict=True)
    )
    if known.rank_known and not fits:
        raise InvalidArgumentError(
            f"the input '{told.name}' of {file} has shape {list(known.shape)}, not {list(told.shape)} as told"
        )


def check_known(signature: ModelSignature, file: Path) -> None:
    """Whether a configuration can be written.

    Raises:
        InvalidArgumentError: something is not known of an input or output; says how to tell it.
    """
    unknown = [tensor for tensor in signature.inputs if not tensor.datatype or not tensor.rank_known]
    untyped = [tensor for tensor in unknown if not tensor.datatype]
    if untyped:
        names = ", ".join(f"'{tensor.name}'" for tensor in untyped[:_SHOWN]) + (", ..." if untyped[_SHOWN:] else "")
        options = " ".join(f"--input {tensor.name}:FP32:-1,3,224,224" for tensor in untyped[:_SHOWN])
        raise InvalidArgumentError(
            f"{file} does not say of which type and shape {names} {'is' if len(untyped) == 1 else 'are'}: say it with "
            f"every dimension, -1 for one that varies, as {options}"
        )
    if not signature.outputs:
        raise InvalidArgumentError(f"{file} does not say what it answers: export it with outputs that are tensors")
    for tensor in (*unknown, *signature.outputs):
        if not tensor.rank_known or not tensor.datatype:
            raise InvalidArgumentError(
                f"{file} does not say how many dimensions '{tensor.name}' ({tensor.datatype or 'of unknown type'}) has: "
                "export it with shapes of its inputs and outputs"
            )
