"""How the TensorFlow backend is named; the one place that knows."""

from tcli_server.backends import BackendKind

TENSORFLOW = BackendKind(
    "tensorflow",
    "tensorflow_savedmodel",
    "model.savedmodel",
    implementation="tcli_server.backends.tensorflow.backend:TensorFlowBackend",
    needs="tensorflow",
    distributions=("tensorflow-cpu", "tensorflow", "tensorflow-intel"),
    extra="tensorflow",
    is_folder=True,
)
