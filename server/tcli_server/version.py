"""The version that the server metadata tells."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("tcli")
except PackageNotFoundError:  # imported from a source tree that is not installed
    VERSION = "0"
