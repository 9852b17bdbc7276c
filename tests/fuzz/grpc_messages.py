"""Serialized ModelInferRequests from a seed: valid ones, and ones with something wrong. Pure: sends nothing."""

import random
from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from fuzz.infer_bodies import MODELS, SIZES

FIELDS = ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes")
NAMES = ("", "INPUT0", "OUTPUT0", "OUTPUT1", "nope", "é", "\x00", "x" * 500)
NUMBERS = (0, 1, -1, 2, 16, 2**31, 2**62, 2**63 - 1, -(2**63))


def grpc_messages(seed: int) -> Iterator[tuple[bytes, bool]]:
    """Messages without end, and whether each is right."""
    rng = random.Random(seed)
    while True:
        message = _valid(rng)
        how = rng.random()
        if how < 0.25:
            yield message.SerializeToString(), True
        elif how < 0.7:
            for _ in range(rng.randint(1, 3)):
                _change(rng, message)
            yield message.SerializeToString(), False
        else:
            yield _damaged(rng, message.SerializeToString()), False


def _valid(rng: random.Random) -> pb.ModelInferRequest:
    name = rng.choice(list(MODELS))
    datatype, inputs, shape = MODELS[name]
    message = pb.ModelInferRequest(model_name=name, id=rng.choice(("", "7", "é")))
    shape = shape or (rng.randint(1, 3), rng.randint(1, 4))
    count = 1
    for size in shape:
        count *= size
    for tensor in inputs:
        message.inputs.add(name=tensor, datatype=datatype, shape=shape)
        data = b"\x02\0\0\0hi" * count if datatype == "BYTES" else bytes(count * SIZES[datatype])
        message.raw_input_contents.append(data)
    return message


def _change(rng: random.Random, message: pb.ModelInferRequest) -> None:
    changes = (_name, _shape, _datatype, _raw, _contents, _parameter, _outputs, _inputs, _model)
    rng.choice(changes)(rng, message)


def _tensor(rng: random.Random, message: pb.ModelInferRequest) -> Any:
    return rng.choice(message.inputs) if message.inputs else message.inputs.add()


def _name(rng: random.Random, message: pb.ModelInferRequest) -> None:
    _tensor(rng, message).name = rng.choice(NAMES)


def _shape(rng: random.Random, message: pb.ModelInferRequest) -> None:
    _tensor(rng, message).shape[:] = [rng.choice(NUMBERS) for _ in range(rng.choice((0, 1, 2, 3, 65, 1000)))]


def _datatype(rng: random.Random, message: pb.ModelInferRequest) -> None:
    _tensor(rng, message).datatype = rng.choice((*SIZES, "BYTES", "", "FP8", "fp32", "x" * 300))


def _raw(rng: random.Random, message: pb.ModelInferRequest) -> None:
    if message.raw_input_contents and rng.random() < 0.5:
        del message.raw_input_contents[rng.randrange(len(message.raw_input_contents))]
    else:
        message.raw_input_contents.append(rng.randbytes(rng.choice((0, 1, 3, 4, 64, 5000))))


def _contents(rng: random.Random, message: pb.ModelInferRequest) -> None:
    contents = _tensor(rng, message).contents
    field = getattr(contents, f"{rng.choice(FIELDS)}_contents")
    values: tuple[Any, ...] = (b"a", b"\xff") if field is contents.bytes_contents else (0, 1)
    field.extend([rng.choice(values) for _ in range(rng.choice((0, 1, 16, 300)))])
    if rng.random() < 0.6:
        del message.raw_input_contents[:]


def _parameter(rng: random.Random, message: pb.ModelInferRequest) -> None:
    where = rng.choice([message, *message.inputs, *message.outputs])
    keys = (
        "sequence_id",
        "priority",
        "timeout",
        "classification",
        "shared_memory_region",
        "triton_x",
        "binary_data",
        "",
    )
    parameter = where.parameters[rng.choice(keys)]
    kind = rng.choice(("bool_param", "int64_param", "string_param", "double_param", "uint64_param", "none"))
    values = {
        "bool_param": True,
        "int64_param": rng.choice(NUMBERS),
        "string_param": rng.choice(NAMES),
        "double_param": 1e308,
        "uint64_param": 2**64 - 1,
    }
    if kind in values:
        setattr(parameter, kind, values[kind])


def _outputs(rng: random.Random, message: pb.ModelInferRequest) -> None:
    for _ in range(rng.randint(1, 3)):
        message.outputs.add(name=rng.choice(NAMES))


def _inputs(rng: random.Random, message: pb.ModelInferRequest) -> None:
    if message.inputs and rng.random() < 0.5:
        del message.inputs[rng.randrange(len(message.inputs))]
    else:
        message.inputs.add().CopyFrom(_tensor(rng, message))


def _model(rng: random.Random, message: pb.ModelInferRequest) -> None:
    message.model_name = rng.choice((*NAMES, *MODELS))
    message.model_version = rng.choice(("", "1", "2", "-1", "x", "9" * 30, "1.0", "²"))


def _damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes changed, cut, doubled or put in."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(damaged) + 1)
        match rng.randrange(4):
            case 0 if damaged:
                damaged[min(at, len(damaged) - 1)] = rng.randrange(256)
            case 1:
                del damaged[at : at + rng.randint(1, 20)]
            case 2:
                damaged[at:at] = rng.randbytes(rng.randint(1, 12))
            case _:
                damaged[at:at] = damaged[at : at + 30]
    return bytes(damaged)
