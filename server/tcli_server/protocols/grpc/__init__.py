"""V2 over gRPC, with Triton's extensions."""

from tcli_server.protocols.grpc.options import GrpcOptions
from tcli_server.protocols.grpc.server import GrpcServer, check_engine, start_grpc
from tcli_server.protocols.tls import TlsOptions

__all__ = ["GrpcOptions", "GrpcServer", "TlsOptions", "check_engine", "start_grpc"]
