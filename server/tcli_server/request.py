"""What travels through the server: one inference asked, one answered."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tcli_server.errors import ServerError

Parameter = bool | int | float | str
Reply = Callable[["InferenceResponse"], None]


def _no_reply(_: "InferenceResponse") -> None:
    """The reply of a request whose caller does not want to know."""


@dataclass(slots=True, eq=False)
class InferenceRequest:
    """One inference request.

    Attributes:
        inputs: name -> array; shapes as clients see them (with the batch dimension where the model batches, without
            `reshape`). BYTES are object arrays of `bytes`, BF16 are `ml_dtypes.bfloat16` arrays.
        outputs: names wanted, empty for all.
        model_version: decimal digits, empty for the highest version that is ready.
        reply: called exactly once from a worker thread, with the response or the error; must not block or raise.
    """

    model_name: str
    inputs: dict[str, np.ndarray]
    outputs: tuple[str, ...] = ()
    model_version: str = ""
    id: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    reply: Reply = _no_reply

    # Set by the engine on the way. Only requests of equal `shape_key` can share a batch; times are time.monotonic_ns().
    batch_size: int = 1
    shape_key: tuple[tuple[str, tuple[int, ...]], ...] = ()
    arrival_ns: int = 0
    queue_ns: int = 0


@dataclass(slots=True, eq=False)
class InferenceResponse:
    """One response to a request: outputs by name in the model's order, or an error.

    Attributes:
        final: False only where a decoupled model has more responses to come.
    """

    model_name: str
    model_version: str
    id: str = ""
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    error: ServerError | None = None
    final: bool = True
