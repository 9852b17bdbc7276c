"""How the ONNX Runtime backend is named; the one place that knows."""

from tcli_server.backends import BackendKind

ONNXRUNTIME = BackendKind("onnxruntime", "onnxruntime_onnx", "model.onnx")
