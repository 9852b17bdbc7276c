"""How the PyTorch backend is named; the one place that knows."""

from tcli_server.backends import BackendKind

PYTORCH = BackendKind(
    "pytorch",
    "pytorch_libtorch",
    "model.pt",
    implementation="tcli_server.backends.pytorch.backend:PyTorchBackend",
    needs="torch",
    distributions=("torch",),
    extra="torch",
    other_files=("model.pt2",),
    other_platforms=("torch_aoti",),
)
