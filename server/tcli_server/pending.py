"""How much memory the inputs of all requests may hold that are not answered yet."""

import threading

from tcli_server.errors import UnavailableError
from tcli_server.request import InferenceRequest


class PendingBytes:
    """Counts input bytes from a request's acceptance to its end.

    Args:
        limit: bytes; a single request is always taken, however large, if nothing else is held.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held

    def charge(self, request: InferenceRequest) -> bool:
        """Count a request's inputs until it ends; False if there is no room for them. A second call changes nothing."""
        if request.budget is self:
            return True
        size = request.byte_size or _size(request)
        with self._lock:
            if self._held and self._held + size > self.limit:
                return False
            self._held += size
        request.byte_size, request.budget = size, self
        return True

    def release(self, request: InferenceRequest) -> None:
        """As `Holder.release`; a second call changes nothing."""
        with self._lock:
            if request.budget is self:
                request.budget = None
                self._held -= request.byte_size

    def refusal(self, request: InferenceRequest) -> UnavailableError:
        """Why a request was not taken."""
        return UnavailableError(
            f"requests that wait hold {self._held} bytes already, of {self.limit} (--max-pending-bytes); "
            f"this one has {request.byte_size or _size(request)}: try again later"
        )


def _size(request: InferenceRequest) -> int:
    raw = len(request.raw_input) if request.raw_input is not None else 0
    return raw + sum([array.nbytes for array in request.inputs.values()])
