"""Queue policies: how many requests may wait at a priority level, how long, and what happens then."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tritonclient.grpc.model_config_pb2 import ModelDynamicBatching, ModelQueuePolicy

from tcli_server.request import InferenceRequest


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Triton's `ModelQueuePolicy`.

    Attributes:
        max_size: requests that may wait, 0 for any number.
        timeout_ns: how long each may wait, 0 for ever.
        delays: what waited too long runs after all that did not, instead of being rejected.
        may_override: requests may ask for a shorter time.
    """

    max_size: int = 0
    timeout_ns: int = 0
    delays: bool = False
    may_override: bool = False

    def deadline_ns(self, request: InferenceRequest, now_ns: int) -> int:
        """When the request will have waited too long, 0 for never.

        As in Triton a request can only shorten the time that the policy gives, so it changes nothing where that is
        for ever.
        """
        timeout_ns = self.timeout_ns
        asked_ns = request.timeout_us * 1000
        if self.may_override and 0 < asked_ns < timeout_ns:
            timeout_ns = asked_ns
        return now_ns + timeout_ns if timeout_ns else 0


@dataclass(frozen=True, slots=True)
class Levels:
    """The priority levels of a model, counted from 1, the highest priority; without priorities there is level 0 alone.

    Attributes:
        count: Triton takes any number of 64 bits, so nothing is made for a level before it is used.
        default: the level of requests that name none or one that is not there.
        own: policies of levels; all others have `fallback`.
    """

    count: int = 0
    default: int = 0
    fallback: QueuePolicy = QueuePolicy()
    own: Mapping[int, QueuePolicy] = field(default_factory=dict)

    def of(self, request: InferenceRequest) -> int:
        """The level of a request."""
        return request.priority if 0 < request.priority <= self.count else self.default

    def policy(self, level: int) -> QueuePolicy:
        """The policy of a level."""
        return self.own.get(level, self.fallback)

    @property
    def have_timeouts(self) -> bool:
        """Whether a request can wait too long at all."""
        return any(policy.timeout_ns for policy in (self.fallback, *self.own.values()))


def read_levels(batching: ModelDynamicBatching) -> Levels:
    """The levels that a valid configuration describes."""
    fallback = _read(batching.default_queue_policy)
    if not batching.priority_levels:
        return Levels(fallback=fallback)
    own = {level: _read(policy) for level, policy in batching.priority_queue_policy.items()}
    return Levels(batching.priority_levels, batching.default_priority_level, fallback, own)


def _read(policy: ModelQueuePolicy) -> QueuePolicy:
    return QueuePolicy(
        policy.max_queue_size,
        policy.default_timeout_microseconds * 1000,
        policy.timeout_action == ModelQueuePolicy.DELAY,
        policy.allow_timeout_override,
    )
