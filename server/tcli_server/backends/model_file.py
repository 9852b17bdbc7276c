"""What is wrong with a model's file, for those who read it."""

from pathlib import Path

from tcli_server.errors import InvalidArgumentError


class ModelFileError(InvalidArgumentError):
    """A file, or folder, is not the model that it should be.

    Args:
        path: of the file.
        expected: `an ONNX model`.
        found: what it is instead.
        fix: what to do.
    """

    def __init__(self, path: Path, expected: str, found: str, fix: str) -> None:
        super().__init__(f"{path} is {found}, expected {expected}: {fix}")
        self.path = path
        self.expected = expected
        self.found = found
        self.fix = fix
