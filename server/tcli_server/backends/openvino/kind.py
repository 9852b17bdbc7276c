"""How the OpenVINO backend is named; the one place that knows."""

from tcli_server.backends import BackendKind

OPENVINO = BackendKind(
    "openvino",
    "",
    "model.xml",
    implementation="tcli_server.backends.openvino.backend:OpenVinoBackend",
    needs="openvino",
    distributions=("openvino",),
    extra="openvino",
    other_files=("model.tflite",),
)
