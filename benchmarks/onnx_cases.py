"""ONNX's own test models, served: every one that the `onnx` package has is loaded, run, and compared with the answers it expects.

    python benchmarks/onnx_cases.py [--only NAME] [--verbose]

These are one model an operator, small networks converted from PyTorch, and the `light_*` classifiers: some thousand models with
every data type, odd shapes, and opsets from 6 on. Each is served alone, its configuration completed by the server with
max_batch_size 0. What fails here is run by ONNX Runtime directly, too: only what that runs and the server does not, or
answers otherwise, is a fault of the server, and the exit status 1.
"""

import argparse
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from running import write_json
from tcli_server import Engine, EngineOptions
from tcli_server.errors import ServerError

MODEL = "case"
OPTIONS = EngineOptions(model_control_mode="explicit", backend_config={"onnxruntime": {"default-max-batch-size": "0"}})
IR_VERSION, OPSET = 13, 26
"""The newest that ONNX Runtime 1.31 takes."""

LIGHT_SHAPE = (1, 3, 224, 224)


class Case(NamedTuple):
    """A model with what it takes and what it should answer, by position; the answers are not arrays where it has others."""

    name: str
    model: bytes
    inputs: Sequence[Any]
    answers: Sequence[Any]
    rtol: float
    atol: float


def cases() -> Iterator[Case]:
    """Every case of the installed `onnx`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test import loader

        for case in loader.load_node_model_tests():
            for inputs, answers in case.data_sets:
                values = [_array(value) for value in inputs], [_array(value) for value in answers]
                yield Case(case.name, _readable(case.model), *values, case.rtol, case.atol)
    folder = Path(loader.DATA_DIR)
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for case in loader.load_model_tests(kind=kind):
            here = Path(case.model_dir)
            for data in sorted(here.glob("test_data_set*")):
                content = (here / "model.onnx").read_bytes()
                inputs, answers = _values(data, "input"), _values(data, "output")
                yield Case(f"{kind}/{case.name}", content, inputs, answers, case.rtol, case.atol)
    for file in sorted((folder / "light").glob("*.onnx")):
        size = int(np.prod(LIGHT_SHAPE))  # as onnx's own runner makes them
        given = (np.arange(size).reshape(LIGHT_SHAPE) / size).astype(np.float32)
        answers = [numpy_helper.to_array(_tensor(file.with_name(f"{file.stem}_output_0.pb")))]
        yield Case(f"light/{file.stem}", file.read_bytes(), [given], answers, 1e-3, 1e-5)


def _readable(model: onnx.ModelProto) -> bytes:
    """A model that this ONNX Runtime reads: `onnx` is ahead of it, and stamps every case of an operator with its newest opset."""
    model.ir_version = min(model.ir_version, IR_VERSION)
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = min(opset.version, OPSET)
    return bytes(model.SerializeToString())


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _tensor(file: Path) -> onnx.TensorProto:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(file.read_bytes())
    return tensor


def _values(folder: Path, side: str) -> list[Any]:
    """Arrays; None for what is no tensor, as a sequence."""
    found: list[Any] = []
    for index in range(len(list(folder.glob(f"{side}_*.pb")))):
        try:
            found.append(numpy_helper.to_array(_tensor(folder / f"{side}_{index}.pb")))
        except Exception:
            found.append(None)
    return found


def names(case: Case) -> tuple[list[str], list[str]]:
    """Of the inputs that the case gives, and of the outputs."""
    graph = onnx.load_from_string(case.model).graph
    weights = {tensor.name for tensor in graph.initializer}
    takes = [value.name for value in graph.input]
    if len(takes) != len(case.inputs):
        takes = [name for name in takes if name not in weights]
    return takes, [value.name for value in graph.output]


def serve(case: Case, folder: Path) -> list[np.ndarray]:
    """What a server answers.

    Raises:
        ServerError: what it says instead.
    """
    version = folder / MODEL / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(case.model)
    takes, gives = names(case)
    with Engine(folder, options=OPTIONS) as engine:
        engine.load(MODEL)
        shapes = {each.name: list(each.shape) for each in engine.model_metadata(MODEL).inputs}
        given = {}
        for name, value in zip(takes, case.inputs, strict=True):
            array = _bytes(np.asarray(value))
            given[name] = array.reshape(1) if not array.ndim and shapes.get(name) == [1] else array
        outputs = engine.infer(MODEL, given).outputs
        return [outputs[name] for name in gives]


def alone(case: Case) -> list[Any]:
    """What ONNX Runtime itself answers; raises its exceptions."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(case.model, options, providers=["CPUExecutionProvider"])
    takes, _ = names(case)
    given = {
        name: np.asarray(value) if not isinstance(value, list) else value
        for name, value in zip(takes, case.inputs, strict=True)
    }
    return list(session.run(None, given))


def _bytes(array: np.ndarray) -> np.ndarray:
    """Strings as bytes in an array of objects, as requests have them."""
    if array.dtype.kind not in "UO":
        return array
    texts = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
    return np.array([*texts, None], np.object_)[:-1].reshape(array.shape)


def alike(case: Case, found: Sequence[Any], wanted: Sequence[Any], exact: bool = False) -> str:
    """How answers differ; empty where they do not."""
    for index, (one, other) in enumerate(zip(found, wanted, strict=False)):
        one, other = np.asarray(one), np.asarray(other)
        if one.size == other.size == 1 and {one.ndim, other.ndim} == {0, 1}:  # Triton's protocol has [1] for a scalar
            one, other = one.reshape(1), other.reshape(1)
        if one.shape != other.shape:
            return f"output {index} has shape {list(one.shape)}, expected {list(other.shape)}"
        if one.dtype.kind == "O" or other.dtype.kind in "UO":
            if _bytes(one).tolist() != _bytes(other).tolist():
                return f"output {index} has other strings"
        elif one.dtype != other.dtype:
            return f"output {index} is {one.dtype}, expected {other.dtype}"
        elif not np.allclose(
            one.astype(np.float64) if one.dtype.kind != "c" else one,
            other.astype(np.float64) if one.dtype.kind != "c" else other,
            rtol=0 if exact else case.rtol,
            atol=0 if exact else case.atol,
            equal_nan=True,
        ):
            return f"output {index} has other values"
    return ""


def verdict(case: Case) -> tuple[str, str]:
    """What became of a case, and why."""
    if any(isinstance(value, list) or value is None for value in (*case.inputs, *case.answers)):
        expected_refusal = True
    else:
        expected_refusal = False
    with tempfile.TemporaryDirectory() as folder:
        try:
            answers = serve(case, Path(folder))
        except ServerError as error:
            reason = " ".join(str(error).split())
        else:
            difference = alike(case, answers, case.answers)
            if not difference:
                return "as expected", ""
            try:
                same = not alike(case, answers, alone(case), exact=True)
            except Exception as error:
                return "FAULT", f"{difference}, and ONNX Runtime: {error}"
            return ("ONNX Runtime answers otherwise than onnx expects" if same else "FAULT"), difference
    try:
        alone(case)
    except Exception as error:
        return "ONNX Runtime does not run it either", f"{reason} | {' '.join(str(error).split())}"
    return ("refused: a value that is no tensor" if expected_refusal else "refused"), reason


def kind_of_reason(told: str) -> str:
    """A reason without what is special about its case."""
    text = told.partition(": ")[2].partition(" | ")[0]
    for pattern, short in REASONS:
        match = re.search(pattern, text)
        if match:
            return short.format(*match.groups())
    return text[:120]


REASONS = (
    (r"type (?:FLOAT8\w*|FLOAT4\w*|U?INT[24])\b", "V2 has no floats of 8 or 4 bits, and no integers of 4 or 2"),
    (r"type (SEQUENCE|OPTIONAL|MAP)", "V2 has no {}"),
    (r"type COMPLEX\w*", "V2 has no complex numbers"),
    (r"Could not find an implementation", "ONNX Runtime has no kernel for the operator in this opset and type"),
    (r"Failed to find kernel", "ONNX Runtime has no kernel for the operator in this opset and type"),
    (r"is not a registered function", "ONNX Runtime has no such operator"),
    (r"Opset \d+ is under development", "ONNX Runtime is older than the opset"),
    (r"Unrecognized attribute", "ONNX Runtime is older than the operator's attributes"),
    (r"ONNX Runtime [\d.]+ \((.{0,60})", "refused by ONNX Runtime: {}"),
    (r"(onnx runtime error)", "fails when ONNX Runtime runs it"),
    (r"output \d+ has other values", "other values, the same as ONNX Runtime's alone"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="cases with this in their names")
    parser.add_argument("--verbose", action="store_true", help="a line for each case that is not as expected")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    reasons: dict[str, list[str]] = {}
    for case in cases():
        if arguments.only not in case.name:
            continue
        try:
            kind, reason = verdict(case)
        except Exception as error:
            kind, reason = "FAULT", f"{type(error).__name__}: {error}"
        counts[kind] += 1
        if reason:
            reasons.setdefault(kind, []).append(f"{case.name}: {reason}")
            if arguments.verbose:
                print(f"{kind}: {reasons[kind][-1]}", flush=True)
    print(f"onnx {onnx.__version__}, ONNX Runtime {ort.__version__}: {sum(counts.values())} cases")
    for kind, count in counts.most_common():
        print(f"{count:6}  {kind}")
        for reason, times in Counter(map(kind_of_reason, reasons.get(kind, ()))).most_common():
            print(f"        {times:6}  {reason}")
    write_json(arguments.json, {"counts": counts, "reasons": reasons})
    sys.exit(bool(counts["FAULT"]))


if __name__ == "__main__":
    main()
