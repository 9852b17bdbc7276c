"""What machine the numbers were measured on."""

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tcli_analyzer.resources import gpu_handles
from tcli_server.hardware.cores import usable_cores


@dataclass(frozen=True)
class Machine:
    """The facts that a reader of the numbers needs."""

    processor: str
    cores: int
    memory_gib: float
    gpus: tuple[str, ...]
    system: str
    python: str
    onnxruntime: str
    tcli: str

    def sentence(self) -> str:
        """One line: processor, cores, memory, GPUs."""
        gpus = ", ".join(self.gpus) or "no GPU"
        return f"{self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB, {gpus}"


def this_machine() -> Machine:
    """Read the facts; what the system does not tell is left empty or "unknown"."""
    return Machine(
        processor=_processor(),
        cores=usable_cores(),
        memory_gib=psutil.virtual_memory().total / (1 << 30),
        gpus=_gpus(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        onnxruntime=_first_version("onnxruntime-gpu", "onnxruntime"),
        tcli=_first_version("tcli"),
    )


_ENGINES = {
    "onnxruntime": ("ONNX Runtime", ("onnxruntime-gpu", "onnxruntime")),
    "openvino": ("OpenVINO", ("openvino",)),
    "pytorch": ("PyTorch", ("torch",)),
    "tensorflow": ("TensorFlow", ("tensorflow", "tensorflow-cpu")),
    "tensorrt": ("TensorRT", ("tensorrt",)),
}


def engine_version(backend: str) -> str:
    """The engine of a backend with its installed version, for people; empty where it is not known."""
    if backend not in _ENGINES:
        return ""
    name, distributions = _ENGINES[backend]
    return f"{name} {_first_version(*distributions)}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine() or "unknown processor"


def _gpus() -> tuple[str, ...]:
    handles = gpu_handles()
    if not handles:
        return ()
    import pynvml

    names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _first_version(*distributions: str) -> str:
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
