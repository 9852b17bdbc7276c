"""Whether the headers of a call let it in."""

from collections.abc import Iterable, Mapping

from tcli_server.protocols.access.apis import Api
from tcli_server.protocols.access.guard import Denial, Guard, Refused
from tcli_server.protocols.grpc.errors import Status

RESTRICTED_PREFIX = "triton-grpc-protocol-"
"""What Triton puts before the key of `--grpc-restricted-protocol`."""

_HEALTH = "/grpc.health.v1.Health/"
_SERVICE = "/inference.GRPCInferenceService/"
_APIS = {
    Api.HEALTH: ("ServerLive", "ServerReady", "ModelReady"),
    Api.METADATA: ("ServerMetadata", "ModelMetadata"),
    Api.INFERENCE: ("ModelInfer", "ModelStreamInfer"),
    Api.SHARED_MEMORY: (
        "SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
        "CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister",
    ),
    Api.MODEL_CONFIG: ("ModelConfig",),
    Api.MODEL_REPOSITORY: ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
    Api.STATISTICS: ("ModelStatistics",),
    Api.TRACE: ("TraceSetting",),
    Api.LOGGING: ("LogSettings",),
}  # fmt: skip
_API_OF = {_SERVICE + name: api for api, names in _APIS.items() for name in names}
_PROBES = (f"{_SERVICE}ServerLive", f"{_SERVICE}ServerReady")
_STATUS = {
    Refused.RESTRICTED: Status.UNAVAILABLE,
    Refused.NO_TOKEN: Status.UNAUTHENTICATED,
    Refused.UNKNOWN_TOKEN: Status.UNAUTHENTICATED,
    Refused.NO_SCOPE: Status.PERMISSION_DENIED,
}
"""That of a restricted API is Triton's."""


def api_of(path: str) -> Api | None:
    """The group that a call belongs to; None for all that is in none."""
    return Api.HEALTH if path.startswith(_HEALTH) else _API_OF.get(path)


class GrpcGuard:
    """Looks at calls of one port."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def refusal(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> tuple[Status, str] | None:
        """The status and its details; None if the call may be made."""
        denial = self._guard.judge(api_of(path), path in _PROBES or path.startswith(_HEALTH), _joined(headers))
        return None if denial is None else (_STATUS[denial.why], _details(denial))


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """By name, as HTTP joins those that come twice: whoever sends two tokens has sent none."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def _details(denial: Denial) -> str:
    if denial.why is Refused.RESTRICTED:  # as Triton says it
        return f"This protocol is restricted, expecting header '{denial.needed}'"
    return denial.text
