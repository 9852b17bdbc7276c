"""V2 over gRPC, with Triton's extensions."""

from tcli_server.protocols.grpc.options import GrpcOptions
from tcli_server.protocols.grpc.server import GrpcServer, start_grpc

__all__ = ["GrpcOptions", "GrpcServer", "start_grpc"]
