"""The permits of one model's instances."""

from collections.abc import Sequence

from tcli_server.errors import InvalidArgumentError
from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.limits.rate_limiter import Permit, RateLimiter
from tcli_server.scheduling.worker import Worker


class Permits:
    """Joins instances to the rate limiter and lets them go again.

    Args:
        model: its name.
    """

    def __init__(self, limiter: RateLimiter, model: str) -> None:
        self._limiter = limiter
        self._model = model
        self._permits: dict[PlacedInstance, Permit] = {}

    def __getitem__(self, worker: Worker) -> Permit:
        return self._permits[worker.placed]

    def join(self, instances: Sequence[PlacedInstance]) -> list[PlacedInstance]:
        """Those of the instances that are new have a permit each from now on.

        Raises:
            InvalidArgumentError: as `RateLimiter.join`; the new instances are closed then.
        """
        fresh = [placed for placed in instances if placed not in self._permits]
        try:
            permits = self._limiter.join(self._model, [placed.placement for placed in fresh])
        except InvalidArgumentError:
            for placed in fresh:
                placed.instance.close()
            raise
        self._permits |= dict(zip(fresh, permits, strict=True))
        return fresh

    def leave(self, worker: Worker) -> None:
        """A worker ends."""
        self._permits.pop(worker.placed).leave()

    def abandon(self, fresh: Sequence[PlacedInstance]) -> None:
        """New instances could not be started; some of their workers may be about to end already."""
        for placed in fresh:
            permit = self._permits.get(placed)
            if permit is not None:
                permit.leave()
