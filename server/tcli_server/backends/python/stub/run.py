"""Starts a worker: makes a package of this folder, wherever it lies, and hands over.

    python run.py ORDERS CALLS DOOR REQUESTS RESPONSES LIMIT PARENT

The first five are inherited descriptors: three sockets and two shared memories, see `main.py`.
"""

import importlib.util
import sys
from pathlib import Path


def _load_package() -> None:
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        "tcli_python_stub", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    del sys.path[0]  # this folder: `strings` and `wire` are no top-level modules
    if sys.version_info < (3, 10):  # noqa: UP036 - the model's Python, not the server's
        sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}; fix: Python models need 3.10 or newer")
    try:
        importlib.import_module("numpy")
    except ImportError as error:
        sys.exit(f"{sys.executable} cannot import numpy ({error}); fix: {sys.executable} -m pip install numpy")
    _load_package()
    importlib.import_module("tcli_python_stub.main").main([int(argument) for argument in sys.argv[1:]])
