"""What is special about OpenVINO's files while they are added to a repository."""

import re
from pathlib import Path

from tcli_server.backends import BackendKind
from tcli_server.backends.handling import Handling
from tcli_server.backends.onnxruntime.handling import OnnxHandling
from tcli_server.backends.openvino.kind import OPENVINO
from tcli_server.file_kind import HEAD_BYTES

_GRAPH, _WEIGHTS = Path(OPENVINO.model_file).suffix, ".bin"


class OpenVinoHandling(Handling):
    """With an IR file go its weights, which have its name. OpenVINO tells a file by its ending alone."""

    def file_name(self, kind: BackendKind, path: Path) -> str:
        """As `Handling.file_name`."""
        if path.suffix.lower() in kind.source.reads:
            return f"{Path(kind.model_file).stem}{path.suffix.lower()}"
        with path.open("rb") as file:
            is_marked = re.match(kind.source.mark, file.read(HEAD_BYTES)) is not None
        return kind.other_files[0] if is_marked else super().file_name(kind, path)

    def parts(self, path: Path) -> dict[str, Path]:
        """As `Handling.parts`."""
        if path.suffix.lower() in OPENVINO.source.reads:
            return OnnxHandling().parts(path)
        weights = path.with_suffix(_WEIGHTS)
        if path.suffix.lower() != _GRAPH or not weights.is_file():
            return {}
        return {str(Path(OPENVINO.model_file).with_suffix(_WEIGHTS)): weights}

    def needs(self, path: Path) -> tuple[str, ...]:
        """As `Handling.needs`."""
        return (path.with_suffix(_WEIGHTS).name,) if path.suffix.lower() == _GRAPH else ()
