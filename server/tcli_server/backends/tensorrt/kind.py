"""How the TensorRT backend is named; the one place that knows."""

from tcli_server.backends import BackendKind
from tcli_server.backends.knobs import Knobs, Provider
from tcli_server.backends.source import Source

TENSORRT = BackendKind(
    "tensorrt",
    "tensorrt_plan",
    "model.plan",
    settings=("plugins", "version-compatible", "execution-policy", "coalesce-request-input"),
    implementation="tcli_server.backends.tensorrt.backend:TensorRtBackend",
    needs="tensorrt",
    distributions=("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
    extra="tensorrt",
    fields=(
        "instance_group.profile",
        "instance_group.secondary_devices",
        "input.is_shape_tensor",
        "output.is_shape_tensor",
        "optimization.priority",
    ),
    knobs=Knobs(providers=(Provider("cuda", True),)),
    source=Source("a TensorRT plan with TensorRT", (".engine", ".trt"), mark=rb"ftrt"),
)
