"""How the ONNX Runtime backend is named; the one place that knows."""

from tcli_server.backends import BackendKind

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
)
