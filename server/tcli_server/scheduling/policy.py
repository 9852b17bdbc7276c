"""Queue policies: how many requests may wait at a priority level, how long, and what happens then."""

from dataclasses import dataclass

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
    """The priority levels of a model.

    Attributes:
        policies: one for each level, the highest priority first.
        default: the level, counting from 0, of requests that name none or one that is not there.
    """

    policies: tuple[QueuePolicy, ...] = (QueuePolicy(),)
    default: int = 0

    def of(self, request: InferenceRequest) -> int:
        """The level of a request, counting from 0."""
        return request.priority - 1 if 0 < request.priority <= len(self.policies) else self.default

    @property
    def have_timeouts(self) -> bool:
        """Whether a request can wait too long at all."""
        return any(policy.timeout_ns for policy in self.policies)


def read_levels(batching: ModelDynamicBatching) -> Levels:
    """The levels that a valid configuration describes; without priorities there is one."""
    fallback = _read(batching.default_queue_policy)
    if not batching.priority_levels:
        return Levels((fallback,))
    own = batching.priority_queue_policy
    policies = tuple(
        _read(own[level]) if level in own else fallback for level in range(1, batching.priority_levels + 1)
    )
    return Levels(policies, batching.default_priority_level - 1)


def _read(policy: ModelQueuePolicy) -> QueuePolicy:
    return QueuePolicy(
        policy.max_queue_size,
        policy.default_timeout_microseconds * 1000,
        policy.timeout_action == ModelQueuePolicy.DELAY,
        policy.allow_timeout_override,
    )
