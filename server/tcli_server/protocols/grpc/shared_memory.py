"""The RPCs of the shared memory extensions."""

from collections.abc import Callable
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.shared_memory import SystemSharedMemory, refuse_cuda


class SharedMemoryRpcs:
    """Answers what clients ask of the regions of one server."""

    def __init__(self, shared: SystemSharedMemory) -> None:
        self._shared = shared

    def methods(self) -> dict[str, Callable[[Any], Any]]:
        """By the RPC's name; none takes long."""
        return {
            "SystemSharedMemoryStatus": self._status,
            "SystemSharedMemoryRegister": self._register,
            "SystemSharedMemoryUnregister": self._unregister,
            "CudaSharedMemoryStatus": self._cuda_status,
            "CudaSharedMemoryRegister": self._cuda_register,
            "CudaSharedMemoryUnregister": self._cuda_unregister,
        }

    def _status(self, request: pb.SystemSharedMemoryStatusRequest) -> Any:
        answer = pb.SystemSharedMemoryStatusResponse()
        for one in self._shared.status(request.name):
            region = answer.regions[one.name]
            region.name, region.key, region.offset, region.byte_size = one.name, one.key, one.offset, one.byte_size
        return answer

    def _register(self, request: pb.SystemSharedMemoryRegisterRequest) -> Any:
        self._shared.check_allowed()
        if not request.name:
            raise InvalidArgumentError("'name' is necessary to register system shared memory region")
        self._shared.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    def _unregister(self, request: pb.SystemSharedMemoryUnregisterRequest) -> Any:
        self._shared.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    def _cuda_status(self, request: pb.CudaSharedMemoryStatusRequest) -> Any:
        self._shared.check_no_cuda(request.name)
        return pb.CudaSharedMemoryStatusResponse()

    def _cuda_register(self, request: pb.CudaSharedMemoryRegisterRequest) -> Any:
        self._shared.check_allowed()
        refuse_cuda(request.name)

    def _cuda_unregister(self, _: pb.CudaSharedMemoryUnregisterRequest) -> Any:
        self._shared.check_allowed()
        return pb.CudaSharedMemoryUnregisterResponse()
