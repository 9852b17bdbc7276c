"""How the OpenVINO backend is named; the one place that knows."""

from tcli_server.backends import BackendKind
from tcli_server.backends.knobs import Knobs, Provider
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
    knobs=Knobs(
        "INFERENCE_NUM_THREADS",
        providers=(
            Provider(
                "cpu",
                precision="INFERENCE_PRECISION_HINT",
                precisions={"f32": "f32", "bf16": "bf16", "f16": "f16"},
                synonyms=("HINT_BF16",),
            ),
        ),
    ),
    source=Source(
        "an OpenVINO IR or TensorFlow Lite file with OpenVINO",
        reads=(".onnx",),
        mark=rb"(?s:.{4})TFL3",
        contains=b"<net",
        handling="tcli_server.backends.openvino.handling:OpenVinoHandling",
    ),
)
