"""How a configuration or a folder names this backend."""

from tcli_server.backends import BackendKind

PYTHON = BackendKind("python", "", "model.py")
