"""What a configuration may tell this backend, under Triton's names."""

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelOptimizationPolicy

from tcli_server.backends.complaint import SWITCH, Complaint, Rule, choice, is_on, parameter_complaints

_STRATEGY = "execution_context_allocation_strategy"
_ONE_GPU = Rule("false: tcli runs an engine on one GPU", "false", lambda value: SWITCH.fits(value) and not is_on(value))

KNOWN = {
    _STRATEGY: choice("STATIC", "ON_PROFILE_CHANGE"),
    "enable_multi_device": _ONE_GPU,
    "multi_device_gpus": Rule("nothing: tcli runs an engine on one GPU", "", lambda value: not value),
    "multi_device_per_rank_engines": _ONE_GPU,
}


def complaints(config: ModelConfig) -> Iterator[Complaint]:
    """What a configuration asks of TensorRT that it does not know or that cannot be had here."""
    yield from parameter_complaints(config, KNOWN, "tensorrt")
    for index, group in enumerate(config.instance_group):
        path = f"instance_group[{index}]"
        for place, name in enumerate(group.profile):
            if not (name.isascii() and name.isdigit() and len(name) < 6):
                expected = "the number of an optimization profile"
                yield Complaint(f"{path}.profile[{place}]", f"'{name}'", expected, 'write profile: [ "0" ]')
        devices = group.secondary_devices
        if len(devices) > 1:
            found = f"{len(devices)} devices"
            yield Complaint(f"{path}.secondary_devices", found, "zero or one secondary devices", "remove the others")
        elif devices and devices[0].kind != ModelInstanceGroup.SecondaryDevice.KIND_NVDLA:
            kind = ModelInstanceGroup.SecondaryDevice.SecondaryDeviceKind.Name(devices[0].kind)
            yield Complaint(f"{path}.secondary_devices[0].kind", kind, "KIND_NVDLA", "write kind: KIND_NVDLA")
        elif devices and devices[0].device_id < 0:
            field = f"{path}.secondary_devices[0].device_id"
            yield Complaint(field, str(devices[0].device_id), "the number of a DLA core", "write device_id: 0")
    for side, listed in (("input", config.input), ("output", config.output)):
        for index, tensor in enumerate(listed):
            if tensor.is_shape_tensor and config.max_batch_size > 0:
                yield Complaint(
                    f"{side}[{index}].is_shape_tensor",
                    f"true with max_batch_size: {config.max_batch_size}",
                    "a shape tensor in a model that does not batch: whoever shares a batch would share its values",
                    "write max_batch_size: 0 and dims with the batch",
                )


def strategy(config: ModelConfig) -> str:
    """How a context's memory is had, by TensorRT's name for it."""
    value = str(config.parameters[_STRATEGY].string_value) if _STRATEGY in config.parameters else ""
    return value if KNOWN[_STRATEGY].fits(value) else "STATIC"


def stream_priority(config: ModelConfig) -> int:
    """-1 for a high priority of the streams, 1 for a low one, else 0."""
    wanted = config.optimization.priority
    return {ModelOptimizationPolicy.PRIORITY_MAX: -1, ModelOptimizationPolicy.PRIORITY_MIN: 1}.get(wanted, 0)
