"""How the PyTorch backend is named; the one place that knows."""

from tcli_server.backends import BackendKind
from tcli_server.backends.knobs import Knobs, Provider
from tcli_server.backends.source import Source

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
    knobs=Knobs("INTRA_OP_THREAD_COUNT", providers=(Provider("cpu"), Provider("cuda", True))),
    source=Source(
        "a TorchScript file or an exported program with PyTorch",
        (".pth", ".torchscript", ".ts", ".ckpt"),
        mark=rb"PK\x03\x04|\x80\x02",
        handling="tcli_server.backends.pytorch.handling:PyTorchHandling",
    ),
)
