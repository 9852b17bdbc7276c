"""Puts a model of a server under load, over HTTP or gRPC: `RemoteTarget`."""

from tcli_analyzer.remote.target import RemoteTarget

__all__ = ["RemoteTarget"]
