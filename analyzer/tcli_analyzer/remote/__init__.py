"""Puts a model of a server under load, over HTTP or gRPC: `RemoteTarget`."""

from tcli_analyzer.remote.target import RemoteTarget
from tcli_analyzer.remote.wire import Wire

__all__ = ["RemoteTarget", "Wire"]
