"""What can be set in a configuration to make a backend's models run otherwise: for programs that try what is best."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Provider:
    """By what a backend computes.

    Attributes:
        name: `cpu`, `cuda`, ...
        on_gpu: its instances are of KIND_GPU.
        accelerator: its name under `optimization.execution_accelerators`; empty where there is no word for it.
        precision: the parameter that says in which numbers it computes, the accelerator's where there is one, else the model's;
            empty where it computes as the model file says.
        precisions: what that parameter takes, by `f32`, `bf16` or `f16`.
        synonyms: other parameters for the same, which have to go where that one is written.
        threads: the accelerator's own parameter for the threads of an instance; empty for none.
    """

    name: str
    on_gpu: bool = False
    accelerator: str = ""
    precision: str = ""
    precisions: Mapping[str, str] = field(default_factory=dict, hash=False)
    synonyms: tuple[str, ...] = ()
    threads: str = ""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a backend reads.

    Attributes:
        threads: the model's parameter for the threads of an instance; empty for none.
        graph_levels: values of `optimization.graph.level` that differ, the default, 0, first; empty where it is not read.
        providers: the first is what instances on a CPU have by themselves.
    """

    threads: str = ""
    graph_levels: tuple[int, ...] = ()
    providers: tuple[Provider, ...] = (Provider("cpu"),)
