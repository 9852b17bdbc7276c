"""What of a machine decides which configurations are worth trying."""

from dataclasses import dataclass
from pathlib import Path

from tcli_server.hardware.cores import usable_cores
from tcli_server.hardware.gpu import gpu_count

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = {
    "bf16": frozenset(("amx_bf16", "avx512_bf16", "bf16")),
    "f16": frozenset(("amx_fp16", "avx512_fp16", "asimdhp")),
}
"""Words of `/proc/cpuinfo`, of x86 and of ARM, by the numbers that a processor computes in with them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine has.

    Attributes:
        cores: 0 where that is not known.
        gpus: NVIDIA's.
        precisions: numbers that its processor computes in, of `f32`, `bf16` and `f16`; an engine that is asked for others
            computes in f32.
    """

    cores: int
    gpus: int = 0
    precisions: frozenset[str] = frozenset(("f32",))


def facts_here() -> Facts:
    """This machine's."""
    return Facts(usable_cores(), gpu_count(), _precisions(_CPUINFO))


def facts_elsewhere() -> Facts:
    """Those of a server somewhere, of whose machine nothing is known: it has to say itself what it cannot do."""
    return Facts(0, 0, frozenset(("f32", *_FLAGS)))


def _precisions(cpuinfo: Path) -> frozenset[str]:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:  # not Linux: the safe guess
        return frozenset(("f32",))
    flags = {
        flag
        for line in lines
        if line.partition(":")[0].strip() in ("flags", "Features")
        for flag in line.partition(":")[2].split()
    }
    return frozenset(("f32", *(word for word, any_of in _FLAGS.items() if flags & any_of)))
