"""How the OpenVINO backend is named; the one place that knows."""

from tcli_server.backends import BackendKind
from tcli_server.backends.source import Source

OPENVINO = BackendKind(
    "openvino",
    "",
    "model.xml",
    implementation="tcli_server.backends.openvino.backend:OpenVinoBackend",
    needs="openvino",
    distributions=("openvino",),
    extra="openvino",
    other_files=("model.tflite",),
    source=Source(
        "an OpenVINO IR or TensorFlow Lite file with OpenVINO",
        reads=(".onnx",),
        mark=rb"(?s:.{4})TFL3",
        contains=b"<net",
        handling="tcli_server.backends.openvino.handling:OpenVinoHandling",
    ),
)
