"""How the backend is named. `tcli` imports this at every start, and the other file for the first model."""

from tcli_server.backends import BackendKind

LINEAR = BackendKind(
    name="linear",
    platform="",
    model_file="model.npy",
    implementation="tcli_linear_backend:LinearBackend",
    distributions=("tcli-linear",),
)
