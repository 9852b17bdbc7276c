"""How the TensorFlow backend is named; the one place that knows."""

from tcli_server.backends import BackendKind
from tcli_server.backends.knobs import Knobs
from tcli_server.backends.source import Source

TENSORFLOW = BackendKind(
    "tensorflow",
    "tensorflow_savedmodel",
    "model.savedmodel",
    implementation="tcli_server.backends.tensorflow.backend:TensorFlowBackend",
    needs="tensorflow",
    distributions=("tensorflow-cpu", "tensorflow", "tensorflow-intel"),
    extra="tensorflow",
    is_folder=True,
    knobs=Knobs("TF_NUM_INTRA_THREADS"),
    source=Source(
        "a SavedModel with TensorFlow",
        members=("saved_model.pb", "saved_model.pbtxt"),
        parts=("saved_model.pb*", "fingerprint.pb", "keras_metadata.pb", "variables/*", "assets/*", "assets.extra/*"),
    ),
)
