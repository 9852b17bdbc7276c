"""Which Python runs a model: the server's own, or one that the configuration names (`EXECUTION_ENV_PATH`)."""

import os
import posixpath
import sys
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path

from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.allocator import REUSING_BLOCKS
from tcli_server.observability.log import LOG
from tcli_server.temporary import new_folder

_MODEL_FOLDER = "$$TRITON_MODEL_DIRECTORY"
_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")
_INTERPRETERS = (Path("bin/python"), Path("bin/python3"), Path("Scripts/python.exe"), Path("python.exe"))

_unpacked: "dict[tuple[str, int, int], Path]" = {}
_unpacking = threading.Lock()


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """An interpreter and the environment variables that it is started with."""

    interpreter: str
    variables: dict[str, str]


def python_environment(path: str, model_folder: Path) -> PythonEnvironment:
    """The environment of that path: a virtual environment's folder or an archive of one; the server's own if empty.

    Args:
        path: may begin with `$$TRITON_MODEL_DIRECTORY`; relative ones are relative to the model's folder.

    Raises:
        InvalidArgumentError: it is no environment, or an archive that cannot be unpacked safely.
    """
    variables = {**REUSING_BLOCKS, **os.environ}
    if not path:
        return PythonEnvironment(sys.executable, variables)
    folder = model_folder / path.replace(_MODEL_FOLDER, str(model_folder), 1)
    if folder.is_file() and folder.name.endswith(_ARCHIVES):
        folder = _unpack(folder)
    elif not folder.is_dir():
        raise InvalidArgumentError(
            f"EXECUTION_ENV_PATH: {folder} is neither a folder nor an archive ({', '.join(_ARCHIVES)}); fix: name a virtual "
            "environment's folder, or a packed one"
        )
    interpreter = next((folder / name for name in _INTERPRETERS if (folder / name).exists()), None)
    if interpreter is None:
        raise InvalidArgumentError(
            f"EXECUTION_ENV_PATH: Path {folder / 'bin/activate'} does not exist, nor has {folder} a bin/python; fix: name a "
            f"virtual environment (python -m venv {folder} && {folder}/bin/pip install numpy)"
        )
    variables.pop("PYTHONHOME", None)
    variables["VIRTUAL_ENV"] = str(folder)
    variables["PATH"] = f"{folder / 'bin'}{os.pathsep}{variables.get('PATH', '')}"
    library_path = variables.get("LD_LIBRARY_PATH")
    variables["LD_LIBRARY_PATH"] = (
        f"{folder / 'lib'}{os.pathsep}{library_path}" if library_path else str(folder / "lib")
    )
    return PythonEnvironment(str(interpreter), variables)


def _inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Refuse what leads out of the folder, but for the interpreter of a virtual environment, which is such a link itself.

    Raises:
        tarfile.FilterError: it does; nothing can be written through that one link either.
    """
    try:
        return tarfile.data_filter(member, folder)
    except tarfile.AbsoluteLinkError:
        if member.issym() and posixpath.normpath(member.name).startswith("bin/python"):
            return tarfile.tar_filter(member, folder)
        raise


def _unpack(archive: Path) -> Path:
    """The folder of an archive's content; unpacked once, for all models that name it, and anew when the file changes."""
    with _unpacking:
        state = archive.stat()
        key = (os.path.realpath(archive), state.st_mtime_ns, state.st_size)
        folder = _unpacked.get(key)
        if folder is not None and folder.is_dir():
            return folder
        folder = new_folder()
        LOG.info("unpacking %s", archive)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter=_inside)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InvalidArgumentError(
                f"EXECUTION_ENV_PATH: {archive} cannot be unpacked: {type(error).__name__}: {error}"
            ) from None
        _unpacked[key] = folder
        return folder
