"""What a file of PyTorch's is, told without running anything of it."""

import zipfile
from enum import Enum, auto
from pathlib import Path

from tcli_server.backends.model_file import ModelFileError
from tcli_server.file_kind import HEAD_BYTES, mistaken_content

_EXPORT = (
    'in Python: torch.export.save(torch.export.export(model.eval(), example_inputs), "model.pt2"), or '
    'torch.jit.script(model.eval()).save("model.pt")'
)
_PICKLE = b"\x80"


class Format(Enum):
    """The kinds of files that hold a whole model, whatever their names."""

    SCRIPT = auto()
    EXPORTED = auto()
    COMPILED = auto()


def not_torch(path: Path, found: str, fix: str) -> ModelFileError:
    """The error for a file that is no model of PyTorch's."""
    return ModelFileError(path, "a TorchScript file (model.pt) or an exported program (model.pt2)", found, fix)


def read_format(path: Path) -> Format:
    """What a file holds.

    Raises:
        ModelFileError: it is missing, or holds no whole model; says what it is instead where that is known.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise not_torch(path, f"unreadable ({error.strerror})", "put a file there that can be read") from None
    mistaken = mistaken_content(head)
    if mistaken is not None:
        raise not_torch(path, mistaken, "fetch the file again")
    if head.startswith(_PICKLE):
        raise not_torch(path, "a pickle, as torch.save writes it: weights or objects without the program", _EXPORT)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if min((each.header_offset for each in archive.infolist()), default=0) > 0:
                raise zipfile.BadZipFile  # the end is that of an archive inside of this one: its own is missing
    except (zipfile.BadZipFile, OSError, ValueError):
        size = f"{path.stat().st_size:,} bytes"
        raise not_torch(
            path, f"no file of PyTorch's, or a truncated one ({size})", "export or fetch it again"
        ) from None
    return _format(path, names)


def _format(path: Path, names: list[str]) -> Format:
    inner = {name.partition("/")[2] for name in names}
    if "serialized_exported_program.json" in names:
        raise not_torch(path, "an exported program as PyTorch wrote it until 2.7", f"export it again: {_EXPORT}")
    if any(name.startswith("models/") and name.endswith(".json") for name in inner):
        return Format.EXPORTED
    if any("data/aotinductor/" in name for name in names):
        return Format.COMPILED
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return Format.SCRIPT
    if "data.pkl" in inner:
        found = "an eager checkpoint, as torch.save writes it: weights or pickled objects without the program"
        raise not_torch(path, found, f"load it into its model and export that, {_EXPORT}")
    found = f"a zip archive of something else ({', '.join(sorted(names)[:3]) or 'empty'})"
    raise not_torch(path, found, "export or fetch it again")
