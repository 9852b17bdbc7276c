"""What a deployment is made of: the user's models, the ports, and how much each replica may use."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from triton_cli import __version__
from triton_cli.console import EXIT_WRONG, fail
from triton_cli.deploy_security import OPEN, Security

_MEMORY = re.compile(r"([1-9][0-9]*)(Mi|Gi)")
_BYTES = {"Mi": 2**20, "Gi": 2**30}

_PROCESS_MIB = 768
_FILE_COPIES = 3
"""What a model takes while it loads: its file, the graph that is read from it, and the optimized one."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each replica listens, and the proxies before them."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """All that the templates of `deploy/` leave open.

    Attributes:
        repository: absolute path on this machine.
        models: names, sorted.
        repository_bytes: of all files in the repository.
        cpus: cores of a replica, as a plain number (`2`, `0.5`), which Kubernetes and compose both read.
        memory: of a replica, as Kubernetes writes it (`2Gi`, `512Mi`).
        gpus: of a replica.
        queue_microseconds: mean time in the queue above which replicas are added and an alert is raised.
    """

    name: str
    image: str
    repository: Path
    models: tuple[str, ...]
    repository_bytes: int
    replicas: int
    ports: Ports
    cpus: str
    memory: str
    gpus: int
    queue_microseconds: int
    security: Security = OPEN

    @property
    def memory_bytes(self) -> int:
        number, unit = memory_parts(self.memory)
        return number * _BYTES[unit]

    @property
    def serve_options(self) -> list[str]:
        """Options of `tcli serve`, after `serve --model-repository=...`. Only what is named is loaded, and over the network
        nothing can be put into a replica that the others do not have."""
        return [
            f"--http-port={self.ports.http}",
            f"--grpc-port={self.ports.grpc}",
            f"--metrics-port={self.ports.metrics}",
            "--metrics-config=histogram_latencies=true",  # for the dashboard
            "--model-control-mode=explicit",
            "--allow-model-control-config=false",
            "--allow-model-control-files=false",
            "--shutdown-delay-secs=5",
            *self.security.serve_options,
            *(f"--load-model={model}" for model in self.models),
        ]


def default_image(gpus: int) -> str:
    return f"tcli:{__version__}-cuda" if gpus else f"tcli:{__version__}"


def estimated_memory(repository_bytes: int) -> str:
    """What a replica needs, from nothing but its files: to be replaced by what metrics show."""
    return f"{256 * math.ceil((_PROCESS_MIB + _FILE_COPIES * repository_bytes / 2**20) / 256)}Mi"


def memory_parts(memory: str) -> tuple[int, str]:
    """Number and unit.

    Raises:
        Exit: another form.
    """
    found = _MEMORY.fullmatch(memory)
    if found is None:
        fail(f"--memory '{memory}': expected a number with Mi or Gi, such as 2Gi", status=EXIT_WRONG)
    return int(found[1]), found[2]


def size_of(repository: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(
        os.stat(os.path.join(folder, name)).st_size  # noqa: PTH116, PTH118 - os.walk gives strings
        for folder, _, names in os.walk(repository)
        for name in names
        if os.path.isfile(os.path.join(folder, name))  # noqa: PTH113, PTH118
    )
