"""How a configuration names this backend."""

from tcli_server.backends import BackendKind

IMAGE = BackendKind(
    "image",
    "",
    "",
    implementation="tcli_server.backends.image.backend:ImageBackend",
    needs="PIL",
    distributions=("pillow",),
)
