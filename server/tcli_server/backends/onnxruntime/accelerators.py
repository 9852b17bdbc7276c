"""What a configuration says under `optimization.execution_accelerators`: which of ONNX Runtime's providers, in which order."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_server.backends import Placement
from tcli_server.backends.complaint import Complaint, Rule, is_on, option_complaints
from tcli_server.backends.onnxruntime import cuda_options, openvino_options, tensorrt_options
from tcli_server.hardware.gpu import gpu_count


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One that Triton has a name for.

    Attributes:
        provider: ONNX Runtime's name.
        rules: of its parameters.
        install: what brings the provider into ONNX Runtime.
        libraries: what else it needs, where it is in ONNX Runtime and does not start.
    """

    provider: str
    rules: Mapping[str, Rule]
    install: str
    libraries: str


_GPU_BUILD = "pip uninstall -y onnxruntime; pip install onnxruntime-gpu"

ON_GPU = {
    "tensorrt": Accelerator(
        "TensorrtExecutionProvider",
        tensorrt_options.RULES,
        _GPU_BUILD,
        'install TensorRT\'s libraries (pip install "tcli[cuda,tensorrt]")',
    ),
    "cuda": Accelerator(
        "CUDAExecutionProvider",
        cuda_options.RULES,
        _GPU_BUILD,
        'install the CUDA libraries (pip install "tcli[cuda]") or use kind: KIND_CPU',
    ),
}
ON_CPU = {
    "openvino": Accelerator(
        "OpenVINOExecutionProvider",
        openvino_options.RULES,
        "pip uninstall -y onnxruntime onnxruntime-gpu; pip install onnxruntime-openvino",
        "correct the accelerator's parameters, such as device_type",
    ),
}

Provider = tuple[Accelerator, dict[str, str]]
"""What ONNX Runtime is asked for, with its options."""

_GRAPH_SWITCHES = {"tensorrt": "trt_cuda_graph_enable", "cuda": "enable_cuda_graph"}
_FIELD = "optimization.execution_accelerators"


def complaints(config: ModelConfig) -> Iterator[Complaint]:
    """Accelerators that are not known or not in the installed ONNX Runtime, and their parameters."""
    here = ort.get_available_providers()
    for index, group in enumerate(config.instance_group if gpu_count() else ()):
        if group.kind == ModelInstanceGroup.KIND_GPU and ON_GPU["cuda"].provider not in here:
            complaint = _not_built_in(f"instance_group[{index}].kind", "KIND_GPU", ON_GPU["cuda"])
            yield complaint._replace(fix=f"{ON_GPU['cuda'].install}; or write kind: KIND_CPU")
    accelerators = config.optimization.execution_accelerators
    on_gpu = _may_use_gpu(config)
    for side, listed, known, used in (
        ("gpu_execution_accelerator", accelerators.gpu_execution_accelerator, ON_GPU, on_gpu),
        ("cpu_execution_accelerator", accelerators.cpu_execution_accelerator, ON_CPU, True),
    ):
        for index, accelerator in enumerate(listed):
            field = f"{_FIELD}.{side}[{index}]"
            if accelerator.name not in known:
                yield _unknown(f"{field}.name", accelerator.name, known)
                continue
            if any(other.name == accelerator.name for other in listed[:index]):
                yield Complaint(f"{field}.name", f"'{accelerator.name}' again", "each accelerator once", "remove it")
            kind = known[accelerator.name]
            if used and kind.provider not in here:
                yield _not_built_in(f"{field}.name", accelerator.name, kind)
            whose = f"a parameter of the accelerator '{accelerator.name}'"
            found = option_complaints(f"{field}.parameters", accelerator.parameters, kind.rules, whose)
            yield from found
            if not found:
                yield from _together(f"{field}.parameters", accelerator.name, accelerator.parameters)
    yield from cuda_options.old_complaints(config, _of_cuda(config))


def _together(field: str, name: str, given: Mapping[str, str]) -> Iterator[Complaint]:
    if name == "tensorrt":
        yield from tensorrt_options.complaints(field, given)
    elif name == "openvino":
        yield from openvino_options.complaints(field, given)


def _unknown(field: str, name: str, known: Mapping[str, Accelerator]) -> Complaint:
    other, place = (ON_CPU, "cpu") if known is ON_GPU else (ON_GPU, "gpu")
    near = difflib.get_close_matches(name.lower(), known, 1)
    fix = f'write "{near[0]}", or remove it' if near else "remove it"
    if name in other:
        fix = f"move it to {place}_execution_accelerator"
    return Complaint(field, f"unknown Execution Accelerator '{name}'", " or ".join(known), fix)


def _not_built_in(field: str, name: str, kind: Accelerator) -> Complaint:
    return Complaint(
        field,
        f"'{name}', but the installed ONNX Runtime {ort.__version__} has no {kind.provider}",
        f"one that it has: it has {', '.join(ort.get_available_providers())}",
        f"{kind.install}; or remove the accelerator",
    )


def _may_use_gpu(config: ModelConfig) -> bool:
    """Whether an instance may come to run on a GPU, which its kind and this machine tell."""
    kinds = {group.kind for group in config.instance_group} or {ModelInstanceGroup.KIND_AUTO}
    return gpu_count() > 0 and bool(kinds & {ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_AUTO})


def providers(config: ModelConfig, placement: Placement, folder: Path) -> list[Provider]:
    """What an instance is to run on, in the order in which ONNX Runtime is to give its nodes away; the CPU comes last.

    Args:
        folder: the model's.

    Raises:
        InvalidArgumentError: the folder of a cache cannot be used.
    """
    found: list[Provider] = []
    gpu = placement.gpu
    if gpu is not None:
        found += [
            (ON_GPU[one.name], tensorrt_options.options(_fitting(one, ON_GPU), folder, gpu))
            for one in config.optimization.execution_accelerators.gpu_execution_accelerator
            if one.name == "tensorrt"
        ]
        found.append((ON_GPU["cuda"], cuda_options.options(_of_cuda(config), config, gpu)))
    for one in config.optimization.execution_accelerators.cpu_execution_accelerator:
        if one.name in ON_CPU:
            chosen = openvino_options.options(_fitting(one, ON_CPU), folder, placement.threads)
            found.append((ON_CPU[one.name], chosen))
    here = ort.get_available_providers()
    return [(kind, chosen) for kind, chosen in found if kind.provider in here]  # what is not here is told


def unused(config: ModelConfig, placement: Placement) -> list[str]:
    """Accelerators that are asked for and that an instance does without, as it runs on the CPU."""
    if placement.gpu is not None:
        return []
    return [one.name for one in config.optimization.execution_accelerators.gpu_execution_accelerator]


def captures_graphs(config: ModelConfig) -> bool:
    """Whether runs on a GPU are to be captured as CUDA graphs."""
    listed = config.optimization.execution_accelerators.gpu_execution_accelerator
    return any(is_on(_fitting(one, ON_GPU).get(_GRAPH_SWITCHES[one.name], "")) for one in listed if one.name in ON_GPU)


def thread_count(config: ModelConfig, placement: Placement) -> int:
    """Threads that an instance's providers start beside ONNX Runtime's own."""
    return sum(
        openvino_options.thread_count(_fitting(one, ON_CPU), placement.threads)
        for one in config.optimization.execution_accelerators.cpu_execution_accelerator
        if one.name in ON_CPU
    )


def _of_cuda(config: ModelConfig) -> dict[str, str]:
    listed = config.optimization.execution_accelerators.gpu_execution_accelerator
    return next((_fitting(one, ON_GPU) for one in listed if one.name == "cuda"), {})


def _fitting(one: Any, known: Mapping[str, Accelerator]) -> dict[str, str]:
    """An accelerator's parameters without wrong ones, which are told, and the model is tried all the same."""
    rules = known[one.name].rules
    return {key: value for key, value in one.parameters.items() if key in rules and rules[key].fits(value)}
