"""Where a model's instances run: instance groups completed, bounded by what this machine has, cores divided."""

from collections.abc import Iterator
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_server.backends import Backend, Placement, Resource
from tcli_server.backends.complaint import Complaint
from tcli_server.hardware.cores import usable_cores
from tcli_server.hardware.gpu import gpu_count

_MOST_INSTANCES_PER_CORE = 16
_LEAST_BOUND = 64
_MOST_THREADS_PER_CORE = 64
_LEAST_THREAD_BOUND = 512


def complete_instance_groups(config: ModelConfig, backend: Backend) -> None:
    """Write down what was left out: names, counts, kinds and GPUs."""
    if not config.instance_group:
        config.instance_group.add()
    gpus = gpu_count()
    for index, group in enumerate(config.instance_group):
        group.name = group.name or f"{config.name}_{index}"
        # Triton gives ONNX models two instances on CPU, each with a thread a core. One is faster there.
        group.count = group.count or 1
        if group.kind == ModelInstanceGroup.KIND_AUTO:
            usable = all(0 <= gpu < gpus for gpu in group.gpus) and backend.runs_on_gpu()
            group.kind = ModelInstanceGroup.KIND_GPU if usable else ModelInstanceGroup.KIND_CPU
        if group.kind == ModelInstanceGroup.KIND_GPU:
            group.gpus[:] = group.gpus or range(gpus)


def placements(config: ModelConfig) -> list[Placement]:
    """Where each instance runs, by complete instance groups; CPU cores are divided between the CPU instances."""
    on_cpu = sum(group.count for group in config.instance_group if group.kind == ModelInstanceGroup.KIND_CPU)
    threads = max(1, usable_cores() // max(1, on_cpu))
    result = []
    for group in config.instance_group:
        needs = [Resource(one.name, one.count, getattr(one, "global")) for one in group.rate_limiter.resources]
        cores = [device.device_id for device in group.secondary_devices]
        place = Placement(
            group.name,
            None,
            threads,
            tuple(needs),
            max(1, group.rate_limiter.priority),
            group.kind == ModelInstanceGroup.KIND_MODEL,
            tuple(group.profile),
            cores[0] if cores else None,
        )
        for index in range(group.count):
            name = f"{group.name}_{index}"
            if group.kind != ModelInstanceGroup.KIND_GPU:
                result.append(replace(place, name=name))
            else:
                result += [replace(place, name=f"{name}_gpu{gpu}", gpu=gpu) for gpu in group.gpus]
    return result


def placement_complaints(config: ModelConfig, backend: Backend) -> Iterator[Complaint]:
    """What this machine cannot do of what complete instance groups ask for."""
    gpus = gpu_count()
    for index, group in enumerate(config.instance_group):
        path = f"instance_group[{index}]"
        if group.kind != ModelInstanceGroup.KIND_GPU:
            if backend.only_on_gpu:
                yield _no_gpu(f"{path}.kind", ModelInstanceGroup.Kind.Name(group.kind), backend.kind.name, gpus)
            continue
        absent = [gpu for gpu in group.gpus if not 0 <= gpu < gpus]
        if not gpus:
            yield Complaint(
                f"{path}.kind",
                "KIND_GPU, but this machine has no NVIDIA GPU (NVML finds none)",
                "a kind that runs here",
                "write kind: KIND_CPU, or leave kind out to take a GPU only where there is one",
            )
        elif absent:
            yield Complaint(f"{path}.gpus", f"{absent}", f"GPUs 0 to {gpus - 1}, which this machine has", "remove them")
    instances = sum(group.count * max(1, len(group.gpus)) for group in config.instance_group)
    bound = max(_LEAST_BOUND, _MOST_INSTANCES_PER_CORE * usable_cores())
    if instances > bound:
        yield Complaint(
            "instance_group",
            f"{instances} instances",
            f"at most {bound} on this machine of {usable_cores()} cores",
            f"lower count: more than {usable_cores()} instances seldom help",
        )
        return  # before they are listed
    threads = sum(backend.thread_count(config, placement) for placement in placements(config))
    bound = max(_LEAST_THREAD_BOUND, _MOST_THREADS_PER_CORE * usable_cores())
    if threads > bound:
        yield Complaint(
            "parameters",
            f"{threads} threads for {instances} instances",
            f"at most {bound} on this machine of {usable_cores()} cores",
            "lower the thread counts, or leave them out: the cores are then divided between the instances",
        )


def _no_gpu(field: str, kind: str, backend: str, gpus: int) -> Complaint:
    expected = f"KIND_GPU: models of the backend '{backend}' run on GPUs only"
    if gpus:
        return Complaint(field, kind, expected, "write kind: KIND_GPU, or leave kind out")
    found = f"{kind} on a machine without an NVIDIA GPU (NVML finds none)"
    return Complaint(field, found, expected, "serve this model where a GPU is")
