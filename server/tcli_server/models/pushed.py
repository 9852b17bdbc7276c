"""Models whose files came with the load request: each lives in a temporary folder for as long as it is served."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InternalError
from tcli_server.repository import ModelFolder
from tcli_server.repository.identifiers import name_of, namespace_of
from tcli_server.temporary import discard_folder, new_folder

_LONGEST_COMPONENT = 255
"""Bytes that a file's or folder's name may have."""

_DEEPEST = 32
"""Names that a path may have. Making and deleting folders goes one level of calls deeper for each."""


class PushedFiles:
    """Files on disk until `discard`.

    Raises:
        InternalError: no configuration with the files, a path that leaves the folder, or a disk that does not take them
            (kind and first words are Triton's); nothing is left behind then.
    """

    def __init__(self, known_by: str, files: Mapping[str, bytes | memoryview], config: ModelConfig | None) -> None:
        name = name_of(known_by)
        if config is None:
            raise _refusal(name, "files are given without the 'config' parameter that describes them")
        paths = {path: _parts(name, path) for path in files}
        self._temporary: Path | None = None
        try:
            self._temporary = new_folder()
            root = self._temporary / name
            for path, parts in paths.items():
                target = root.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(files[path])
        except (OSError, ValueError) as error:
            self.discard()
            reason = getattr(error, "strerror", None) or str(error)
            raise _refusal(name, f"the files cannot be written: {reason}") from None
        except BaseException:
            self.discard()
            raise
        self.folder = ModelFolder(name, root, namespace=namespace_of(known_by))

    def discard(self) -> None:
        """Delete the files."""
        if self._temporary is not None:
            discard_folder(self._temporary)


def _parts(name: str, path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path.lstrip("/")).parts  # as in Triton, `file:/1/model.py` means `file:1/model.py`
    bad = (
        not parts
        or any(part == ".." or "\\" in part or "\0" in part for part in parts)
        or max(len(part.encode(errors="surrogatepass")) for part in parts) > _LONGEST_COMPONENT
    )
    if bad:
        raise _refusal(name, f"file path '{path[:_LONGEST_COMPONENT]}' leaves the model's folder or is not a path")
    if len(parts) > _DEEPEST:
        raise _refusal(
            name, f"file path '{path[:_LONGEST_COMPONENT]}' has {len(parts)} names, expected at most {_DEEPEST}"
        )
    return parts


def _refusal(name: str, reason: str) -> InternalError:
    return InternalError(f"failed to load '{name}', failed to poll from model repository: {reason}")
