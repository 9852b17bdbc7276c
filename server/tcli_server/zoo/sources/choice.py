"""Which file of a repository is the model, and what belongs to it."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from tcli_server.backends import BackendKind
from tcli_server.backends.registry import is_installed, kinds, usual
from tcli_server.zoo.sources.address import HubAddress
from tcli_server.zoo.sources.fetched import SourceError, one_line
from tcli_server.zoo.sources.hub_client import HubRepository

_USUAL_FOLDERS = ("", "onnx/")
_VARIANT = re.compile(
    r"[_-](quantized|q4|q4f16|q8|fp16|bf16|bnb4|int4|int8|uint8|qint8|quint8|o[1-4])(?=[_.-]|$)", re.I
)
_BESIDE = ("config.json", "preprocessor_config.json", "labels.txt")
_SHOWN = 12
_WEIGHTS = (".safetensors", ".bin", ".h5", ".msgpack", ".gguf", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True)
class Choice:
    """The model's file, and a sentence for the reader where there were others."""

    file: str
    note: str | None = None


def choose_file(repository: HubRepository) -> Choice:
    """The file that is the model.

    It is the one that the address names. Without that, of the ONNX files: the only one; else `model.onnx`, in the
    repository's folder or in `onnx/`; else the only one whose name does not say that it is quantized or of half
    precision. Where no file is ONNX, the same among those of the first other backend that takes any, one that is
    installed before one that is not. A folder that is a model as a whole is told by the file that marks it.

    Raises:
        SourceError: there is none, or nothing says which one; lists them.
    """
    address = repository.address
    named = address.file
    if named is not None and named in repository.files:
        return Choice(named)
    inside = [file for file in repository.files if named is None or file.startswith(f"{named}/")]
    if named is not None and not inside:
        raise SourceError(address, f"the repository has no file '{named}'", _similar(repository, named))
    candidates = _models(inside)
    if not candidates:
        raise _nothing(repository, inside)
    chosen = _preferred(candidates, f"{named}/" if named else "")
    if chosen is None:
        raise SourceError(
            address, f"{len(candidates)} files could be the model", f"name one:{_listed(repository, candidates)}"
        )
    if len(candidates) == 1:
        return Choice(chosen)
    others = [file for file in candidates if file != chosen]
    more = ", ..." if len(others) > 3 else ""
    return Choice(
        chosen,
        f"took {one_line(chosen)} of {len(candidates)} model files (others: {one_line(', '.join(others[:3]))}{more}); "
        f"another one: {_address(address, others[0])}",
    )


def files_beside(repository: HubRepository, file: str) -> list[str]:
    """Files with class names and preprocessing: those in the model's folder, else in the nearest one around it."""
    found = []
    for name in _BESIDE:
        places = [str(folder / name) for folder in PurePosixPath(file).parents]
        found += [place for place in places if place in repository.files][:1]
    return found


def _models(files: list[str]) -> list[str]:
    """Those that the first backend takes that takes any; programs are not taken unless they are named."""
    for kind in (usual(), *sorted(kinds(), key=lambda kind: not is_installed(kind))):
        fitting = [file for file in files if _is_model(PurePosixPath(file), kind)]
        if fitting:
            return sorted(fitting, key=lambda file: (file.count("/"), file))
    return []


def _is_model(file: PurePosixPath, kind: BackendKind) -> bool:
    if kind.source.members:
        return file.name in kind.source.members
    return not kind.is_folder and file.suffix.lower() in kind.suffixes - {".py", ""}


def _preferred(candidates: list[str], folder: str) -> str | None:
    if len(candidates) == 1:
        return candidates[0]
    suffix = PurePosixPath(candidates[0]).suffix
    for place in _USUAL_FOLDERS:
        if (usual_name := f"{folder}{place}model{suffix}") in candidates:
            return usual_name
    plain = [file for file in candidates if not _VARIANT.search(PurePosixPath(file).name)]
    return plain[0] if len(plain) == 1 else None


def _nothing(repository: HubRepository, files: list[str]) -> SourceError:
    weights = [file for file in files if file.endswith(_WEIGHTS)]
    if weights:
        return SourceError(
            repository.address,
            f"no file of it can be served as it is; it has weights without a graph ({one_line(weights[0])})",
            f'export it (pip install "optimum[onnx]"; optimum-cli export onnx --model {repository.address.repository} '
            "FOLDER) and add the ONNX file",
        )
    shown = one_line(", ".join(sorted(files)[:_SHOWN]))
    return SourceError(repository.address, f"no file of it can be served; it has {shown or 'no files'}")


def _similar(repository: HubRepository, named: str) -> str:
    close = difflib.get_close_matches(named, repository.files, 3) or _models(list(repository.files))
    return f"name one of{_listed(repository, close)}" if close else ""


def _listed(repository: HubRepository, files: Iterable[str]) -> str:
    listed = list(files)
    lines = []
    for file in listed[:_SHOWN]:
        size = repository.files[file].size
        lines.append(f"\n  {_address(repository.address, file)}" + (f"  {size / 1e6:,.1f} MB" if size else ""))
    return "".join(lines) + (f"\n  and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")


def _address(address: HubAddress, file: str) -> str:
    return one_line(HubAddress(address.repository, file, address.revision))
