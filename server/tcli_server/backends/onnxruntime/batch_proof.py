"""Proves on numbers that a batch of n ONNX items gives what n batches of 1 give.

NotBatchableError
├── WrongBatchError       a batch was run: it fails, or its answers are others than those of its items
└── UncheckedBatchError   nothing is known: single items do not run on random values, or do not tell anything
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from tcli_server.datatypes import BY_DTYPE, BY_NAME
from tcli_server.hardware.cores import usable_cores
from tcli_server.random_tensor import random_tensor

TOLERANCE = 1e-3
HALF_TOLERANCE = 2e-2

_LIKELY_SIZES = (8, 32, 64, 4, 224, 2, 1, 640)
"""Tried in turn for dimensions that vary: not 1 first, where a Softmax and the like say nothing."""

_LARGE_INTEGERS, _SMALL_INTEGERS = 256, 2
"""Integers are below the first where a model takes that, as bytes and token ids are; all but 0 and 1 may be too large."""

_FLAGS = re.compile(r"mask|type", re.IGNORECASE)
"""Names of integer inputs that are 0 or 1 by their nature."""

_ALIKE_TRIES = 3

_SMALLEST_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 224, 256, 512, 640)

Inputs = dict[str, np.ndarray]


class NotBatchableError(Exception):
    """The model takes no batches, or nothing shows that it does; the message says why."""


class WrongBatchError(NotBatchableError):
    """A batch fails, or gives other answers than its items alone; names the node where it can be found."""


class UncheckedBatchError(NotBatchableError):
    """Whether batches are right could not be found out."""


@dataclass(frozen=True)
class BatchCheck:
    """What was compared.

    Attributes:
        sizes: the batch sizes that were run.
        difference: the largest difference between a batch and its single items, relative to the largest value of
            that output.
    """

    sizes: tuple[int, ...]
    difference: float


def check_batching(
    original: Path, candidate: Path, shapes: Mapping[str, Sequence[int]], sizes: Sequence[int] = (2, 3, 8)
) -> BatchCheck:
    """Compare batches run by `candidate` with single items run by `original`, on random inputs.

    Args:
        shapes: shape of each input without the batch dimension; for -1 a size is taken with which an item runs.
        sizes: batch sizes to try.

    Raises:
        WrongBatchError: a batch is not what its items are; with the node that fails or mixes items, where it can be found.
        UncheckedBatchError: single items do not run, or their answers tell nothing.
    """
    single = _session(original)
    batched = single if candidate == original else _session(candidate)
    items, expected = _telling_items(single, shapes, max(sizes))
    if not _repeatable(expected[0], _alone(single, items[0])):
        raise UncheckedBatchError("two runs on the same input give different answers, so batches cannot be checked")
    worst = 0.0
    for size in (1, *sizes):
        together = _run(batched, _join(items[:size]))
        for name, answer in together.items():
            wanted = np.concatenate([one[name] for one in expected[:size]]) if expected[0][name].ndim else answer
            difference = _difference(answer, wanted)
            if not difference <= _allowed(name, expected):
                raise WrongBatchError(_explain(candidate, items, name, size))
            worst = max(worst, difference)
    return BatchCheck(tuple(sizes), worst)


def smallest_item(path: Path, shapes: Mapping[str, Sequence[int]], batch: bool) -> dict[str, tuple[int, ...]] | None:
    """The shapes with every -1 replaced by the smallest of some usual sizes with which the model runs; None without one.

    Args:
        shapes: shape of each input, without the batch dimension where `batch` says that there is one.
    """
    try:
        session = _session(path)
    except NotBatchableError:
        return None
    with_one = {name: shape if batch else _first_as_one(shape) for name, shape in shapes.items()}
    for sized in (*_sized(with_one, _SMALLEST_SIZES), *_sized(shapes, _SMALLEST_SIZES)):
        with suppress(UncheckedBatchError):
            _alone(session, _items(session, sized, 1, _SMALL_INTEGERS, batch)[0])
            return sized
    return None


def _first_as_one(shape: Sequence[int]) -> tuple[int, ...]:
    """Without a batch dimension of the server's the first one that varies is probably the model's own."""
    place = next((axis for axis, dim in enumerate(shape) if dim < 0), None)
    return tuple(1 if axis == place else dim for axis, dim in enumerate(shape))


def _telling_items(
    session: ort.InferenceSession, shapes: Mapping[str, Sequence[int]], count: int
) -> tuple[list[Inputs], list[Inputs]]:
    """Random items that run and that the model tells apart, and its answers to them.

    Raises:
        UncheckedBatchError: there are none; without any that runs, the message is that of the first.
    """
    first: UncheckedBatchError | None = None
    alike = 0
    whole = any("int" in node.type for node in session.get_inputs())
    ranges = (_LARGE_INTEGERS, _SMALL_INTEGERS) if whole else (_SMALL_INTEGERS,)
    for sized, integers in product(_sized(shapes, _LIKELY_SIZES), ranges):
        try:
            items = _items(session, sized, count, integers)
            expected = [_alone(session, item) for item in items]
        except UncheckedBatchError as error:
            first = first or error
            continue
        if _tell_items_apart(expected):
            return items, expected
        alike += 1
        if alike == _ALIKE_TRIES * len(ranges):
            break
    if alike or first is None:
        raise UncheckedBatchError("the answers to different random inputs are the same, so batches cannot be checked")
    raise first


def _sized(shapes: Mapping[str, Sequence[int]], sizes: Sequence[int]) -> Iterator[dict[str, tuple[int, ...]]]:
    """The shapes with each of `sizes` in turn for every -1."""
    for size in sizes if any(dim < 0 for shape in shapes.values() for dim in shape) else sizes[:1]:
        yield {name: tuple(size if dim < 0 else dim for dim in shape) for name, shape in shapes.items()}


def _session(path: Path | bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = usable_cores()
    try:
        return ort.InferenceSession(
            path if isinstance(path, bytes) else str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise UncheckedBatchError(f"ONNX Runtime cannot load it: {_reason(error)}") from None


def _run(session: ort.InferenceSession, inputs: Inputs) -> Inputs:
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, inputs), strict=True))
    except Exception as error:
        raise WrongBatchError(_reason(error)) from None


def _alone(session: ort.InferenceSession, item: Inputs) -> Inputs:
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, item), strict=True))
    except Exception as error:
        raise UncheckedBatchError(f"a single random item does not run: {' '.join(str(error).split())}") from None


def _reason(error: Exception) -> str:
    """ONNX Runtime's message, with the node first if it names one."""
    text = " ".join(str(error).split())
    node = re.search(r"running (\w+) node\. Name:\s?'([^']*)'", text) or re.search(
        r"Node \(([^)]*)\) Op \((\w+)\)", text
    )
    if node is None:
        return text
    operator, name = node.groups() if "running" in node[0] else reversed(node.groups())
    detail = text[node.end() :].removeprefix(" Status Message: ").strip(" .:")
    detail = re.sub(r"\S*\.(?:cc|h):\d+ \S+ ", "", detail)
    return f"node '{name}' ({operator}) does not take a batch: {detail}"


def _items(
    session: ort.InferenceSession,
    shapes: Mapping[str, Sequence[int]],
    count: int,
    integers: int,
    batch: bool = True,
) -> list[Inputs]:
    """Random items whose integers are below `integers`, each in a batch of its own."""
    random = np.random.default_rng(20)
    items: list[Inputs] = []
    front = (1,) if batch else ()
    for index in range(count):
        item: Inputs = {}
        for node in session.get_inputs():
            scalar = not node.shape and math.prod(shapes[node.name]) == 1
            shape = () if scalar else (*front, *shapes[node.name])
            tensor = random_tensor(_v2_name(node.type), shape, random)
            if tensor.dtype.kind == "f":
                tensor = (tensor * (1 + index)).astype(tensor.dtype)  # items that differ in size, too
            elif tensor.dtype.kind in "iu" and not _FLAGS.search(node.name):
                top = min(integers, int(np.iinfo(tensor.dtype).max))
                tensor = random.integers(0, top, size=shape).astype(tensor.dtype)
            item[node.name] = np.asarray(tensor)  # numpy makes a number of a computed scalar
        items.append({n: _as_text(a) for n, a in item.items()})
    return items


def _v2_name(onnx_type: str) -> str:
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    names = {"string": "BYTES", "float": "FP32", "double": "FP64", "float16": "FP16"}
    v2 = names.get(name, name.upper())
    if v2 not in BY_NAME:
        raise UncheckedBatchError(f"inputs of type {onnx_type} cannot be checked")
    return v2


def _as_text(array: np.ndarray) -> np.ndarray:
    if not array.dtype.hasobject:
        return array
    return np.array([item.decode() for item in array.ravel()], np.object_).reshape(array.shape)


def _join(items: Sequence[Inputs]) -> Inputs:
    return {name: np.concatenate([item[name] for item in items]) for name in items[0]}


def _repeatable(one: Inputs, other: Inputs) -> bool:
    return all(_difference(one[name], other[name]) <= _tolerance(one[name]) for name in one)


def _tell_items_apart(answers: Sequence[Inputs]) -> bool:
    """Without this, a model that answers every item with item 0's answer would pass."""
    return any(_apart(name, answers) > _tolerance(first) for name, first in answers[0].items())


def _apart(name: str, answers: Sequence[Inputs]) -> float:
    """How much the answers to different items differ from the first one's."""
    first, *others = answers
    return max(_difference(first[name], other[name]) for other in others)


def _allowed(name: str, answers: Sequence[Inputs]) -> float:
    """How much a batch's answer may differ: well below what tells the items apart, and below what a model's users see."""
    tolerance = _tolerance(answers[0][name])
    return max(tolerance / 10, min(tolerance, _apart(name, answers) / 10))


def _tolerance(array: np.ndarray) -> float:
    if array.dtype.kind != "f":
        return 0.0
    return HALF_TOLERANCE if array.dtype.itemsize < 4 else TOLERANCE


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference, relative to the largest value; 1 for unequal values that are not numbers, inf for shapes."""
    if one.shape != other.shape:
        return float("inf")
    if one.dtype.kind != "f":
        return float(not np.array_equal(one, other))
    if not one.size:
        return 0.0
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.abs(one.astype(np.float64) - other.astype(np.float64)))
    finite = np.abs(other[np.isfinite(other)], dtype=np.float64)
    scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    worst = float(differences.max()) / scale
    return worst if np.isfinite(worst) else float("inf")


def _explain(candidate: Path, items: Sequence[Inputs], output: str, size: int) -> str:
    """Find the first node whose answer to two items is not the two answers."""
    what = f"output '{output}' for a batch of {size} is not what {size} single items give"
    model = onnx.load(candidate, load_external_data=False)
    producers = {name: node for node in model.graph.node for name in node.output if name}
    have = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in producers if name not in have)
    try:
        session = _session(model.SerializeToString())
        singles = [_run(session, items[0]), _run(session, items[1])]
        together = _run(session, _join(items[:2]))
    except (NotBatchableError, ValueError):  # external weights or 2 GiB: do without the name
        return what
    for name, node in producers.items():
        one, two = singles[0][name], singles[1][name]
        if one.dtype not in BY_DTYPE or one.dtype.kind != "f" or not one.ndim or _difference(one, two) == 0:
            continue
        if _difference(together[name], np.concatenate([one, two])) > _tolerance(one):
            return f"{what}: node '{node.name or node.output[0]}' ({node.op_type}) does not keep the items apart"
    return what
