"""How the ONNX Runtime backend is named; the one place that knows."""

from tcli_server.backends import BackendKind
from tcli_server.backends.knobs import Knobs, Provider
from tcli_server.backends.source import Source

ONNXRUNTIME = BackendKind(
    "onnxruntime",
    "onnxruntime_onnx",
    "model.onnx",
    implementation="tcli_server.backends.onnxruntime.backend:OnnxRuntimeBackend",
    needs="onnxruntime",
    distributions=("onnxruntime-openvino", "onnxruntime-gpu", "onnxruntime"),
    fields=(
        "optimization.execution_accelerators.gpu_execution_accelerator",
        "optimization.execution_accelerators.cpu_execution_accelerator",
    ),
    knobs=Knobs(
        "intra_op_thread_count",
        (0, -1, 1, 2),
        (
            Provider("cpu"),
            Provider(
                "openvino", False, "openvino", "precision", {"f32": "FP32", "bf16": "BF16"}, threads="num_of_threads"
            ),
            Provider("cuda", True),
            Provider("tensorrt", True, "tensorrt", "precision_mode", {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}),
        ),
    ),
    source=Source(
        "an ONNX file with ONNX Runtime",
        mark=rb"\x08[\x03-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]",  # the version of the format, then another field
        handling="tcli_server.backends.onnxruntime.handling:OnnxHandling",
    ),
)
