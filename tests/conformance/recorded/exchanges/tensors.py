"""Tensors of every type and shape through a Python model, and requests that do not fit it."""

from conformance.recorded.kinds import Generate, Get, Infer
from conformance.recorded.wire import Request, Tensor


def identity(*tensors: Tensor) -> Request:
    return Request("identity", tensors)


def one(datatype: str, *values: object) -> Tensor:
    return Tensor("STRING" if datatype == "BYTES" else datatype, datatype, (len(values),), values)


def strings(name: str, shape: tuple[int, ...], *values: object) -> Tensor:
    return Tensor(name, "BYTES", shape, values)


def pair(batch: int = 1, left: float = 1, right: float = 2) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(f"INPUT{index}", "FP32", (batch, 4), (value,) * (4 * batch)) for index, value in enumerate((left, right))
    )


def added(*inputs: Tensor, outputs: tuple[str, ...] = (), version: str = "") -> Request:
    return Request("add_sub", inputs, outputs, version=version)


INFINITE = float("inf")
VALUES = {
    "BOOL": (True, False), "UINT8": (0, 255), "UINT16": (0, 65535), "UINT32": (0, 2**32 - 1), "UINT64": (0, 2**64 - 1),
    "INT8": (-128, 127), "INT16": (-(2**15), 2**15 - 1), "INT32": (-(2**31), 2**31 - 1), "INT64": (-(2**63), 2**63 - 1),
    "FP32": (-1.5, 0.0, 3.25), "FP64": (1e300, -2.5), "BYTES": ("", "text", "ünïcödé"),
}  # fmt: skip

EXCHANGES = [
    *(Infer(f"{kind} in JSON", identity(one(kind, *values))) for kind, values in VALUES.items()),
    *(Infer(f"{kind} in binary", identity(one(kind, *values)), binary=True) for kind, values in VALUES.items()),
    Infer("FP16 in binary", identity(one("FP16", 1.5, -2)), binary=True),
    Infer("BF16 in binary", identity(one("BF16", 1.5, -2)), binary=True),
    Infer("FP32 that is no number", identity(one("FP32", INFINITE, -INFINITE, float("nan"))), binary=True),
    *(Infer(f"{kind} without elements", identity(one(kind)), binary=True) for kind in ("FP32", "BOOL", "BYTES")),
    Infer("FP32 without elements in JSON", identity(one("FP32"))),
    Infer("BYTES that are no text", identity(strings("STRING", (2,), b"\xff\x00", b"\x80")), binary=True),
    Infer("BYTES of two dimensions", identity(strings("STRING_2D", (2, 3), *"abcdef"))),
    Infer("BYTES of two dimensions, none in one", identity(strings("STRING_2D", (2, 0))), binary=True),
    Infer("BYTES of three dimensions", identity(strings("STRING_3D", (2, 2, 1), *"abcd"))),
    Infer("BYTES of the wrong shape", identity(strings("STRING_3D", (1, 2, 1), *"ab")), says=("unexpected shape",)),
    Infer("a long text", identity(strings("STRING", (1,), "x" * 3000))),
    Infer("reshaped", identity(Tensor("RESHAPED", "INT32", (4,), (1, 2, 3, 4)))),
    Infer("many inputs", identity(*(one(kind, *VALUES[kind]) for kind in ("UINT8", "BYTES", "FP64", "INT8")))),
    Infer("no inputs", identity(), says=("expected",)),
    Infer("one output of many", Request("identity", (one("INT32", 1), one("INT8", 2)), ("INT8_OUT",))),
    Infer("an output whose input is not there", Request("identity", (one("INT32", 1),), ("INT8_OUT",))),
    Infer("add_sub", added(*pair())),
    Infer("add_sub in binary", added(*pair(2)), binary=True),
    Infer("add_sub, largest batch", added(*pair(4, 3, 1))),
    Infer("add_sub, too large a batch", added(*pair(5)), says=("batch-size must be <= 4",)),
    Infer("add_sub, one output", added(*pair(), outputs=("OUTPUT1",))),
    Infer("add_sub, outputs in the other order", added(*pair(), outputs=("OUTPUT1", "OUTPUT0"))),
    Infer("add_sub, an unknown output", added(*pair(), outputs=("NOBODY",)), says=("NOBODY",)),
    Infer("add_sub, a missing input", added(pair()[0]), says=("expected 2 inputs but got 1",)),
    Infer("add_sub, an unknown input", added(*pair(), one("INT32", 1)), says=("expected 2 inputs but got 3",)),
    Infer(
        "add_sub, the wrong type", added(pair()[0], Tensor("INPUT1", "INT32", (1, 4), (1, 2, 3, 4))), says=("INPUT1",)
    ),
    Infer("add_sub, the wrong shape", added(pair()[0], Tensor("INPUT1", "FP32", (1, 3), (1, 2, 3))), says=("INPUT1",)),
    Infer("add_sub, different batches", added(pair()[0], pair(2)[1]), says=("batch size",)),
    Infer("add_sub, its version", added(*pair(), version="1")),
    Infer("add_sub, another version", added(*pair(), version="2"), says=("add_sub",)),
    Generate("add_sub, generate", "add_sub", {"INPUT0": [1, 2, 3, 4], "INPUT1": [4, 3, 2, 1]}),
    Get("metadata of add_sub", "models/add_sub"),
    Get("metadata of what completed itself", "models/auto"),
    Get("metadata of what completed a part of itself", "models/auto_decoupled"),
    Get(
        "configuration of what completed itself",
        "models/auto/config",
        ("name", "backend", "max_batch_size", "input", "output", "dynamic_batching", "default_model_filename"),
    ),
    Get(
        "configuration of what completed a part of itself",
        "models/auto_decoupled/config",
        ("name", "backend", "max_batch_size", "input", "output", "model_transaction_policy", "parameters"),
    ),
    Infer("what completed itself", Request("auto", (Tensor("X", "INT32", (1, 2), (3, 4)),))),
    Infer(
        "what completed itself, with its optional input",
        Request("auto", (Tensor("X", "INT32", (1, 2), (3, 4)), Tensor("MORE", "INT32", (1, 2), (10, 20)))),
    ),
    Infer("what completed itself, too large a batch", Request("auto", (Tensor("X", "INT32", (4, 1), (1, 2, 3, 4)),))),
]
