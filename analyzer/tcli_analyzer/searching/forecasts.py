"""What every spot of a field would do, by simulation; each is simulated once."""

from collections.abc import Mapping
from dataclasses import replace

from tcli_analyzer.load import OpenLoad
from tcli_analyzer.prediction.forecast import Forecast, forecast
from tcli_analyzer.prediction.service import ServiceTimes
from tcli_analyzer.prediction.setup import setup_of
from tcli_analyzer.prediction.simulator import Setup
from tcli_analyzer.searching.field import Field, Spot

_ALL_REQUESTS = 400_000
LEAST_REQUESTS, _MOST_REQUESTS = 500, 1500


class Forecasts:
    """Of one field.

    Args:
        services: by group; groups without one cannot be predicted.
        open_factor: on execution times where requests come by a schedule.
        requests: simulated of each spot; None for as many as percentiles need, where the field is not too large.
    """

    def __init__(
        self,
        field: Field,
        services: Mapping[int, ServiceTimes],
        open_factor: float = 1.0,
        requests: int | None = None,
    ) -> None:
        self._field = field
        self._services = services
        self._open_factor = open_factor
        few = max(LEAST_REQUESTS, min(_MOST_REQUESTS, _ALL_REQUESTS // max(1, len(field.spots))))
        self._requests = requests or few
        self._known: dict[Spot, Forecast] = {}
        self._values: dict[Spot, float | None] = {}

    def with_open_factor(self, factor: float) -> "Forecasts":
        """The same with another factor."""
        other = Forecasts(self._field, self._services, factor, self._requests)
        other._known = {spot: known for spot, known in self._known.items() if not isinstance(spot.load, OpenLoad)}
        return other

    def of(self, spot: Spot) -> Forecast | None:
        """None where its group has no table."""
        service = self._services.get(spot.group)
        if service is None:
            return None
        if spot not in self._known:
            factor = self._open_factor if isinstance(spot.load, OpenLoad) else 1.0
            setup = self.setup(spot)
            self._known[spot] = forecast(setup, service, spot.load, self._requests, self._field.items, factor)
        return self._known[spot]

    def value(self, spot: Spot) -> float | None:
        """Of the goal; None where nothing is predicted, or more comes than can be answered."""
        if spot not in self._values:
            found = self.of(spot)
            is_usable = found is not None and not found.overloaded and found.latencies_ms.size
            value = self._field.value(found.windows()) if found is not None and is_usable else 0.0
            self._values[spot] = value if value > 0 else None
        return self._values[spot]

    def setup(self, spot: Spot) -> Setup:
        """How requests wait; larger batches than the table has do not come up under the field's loads."""
        setup = setup_of(spot.configuration, self._field.items)
        largest = max(self._services[spot.group].entries) // self._field.items
        rules = setup.rules
        if rules.limit <= largest:
            return setup
        preferred = frozenset(size for size in rules.preferred if size <= largest)
        if rules.max_delay_ns and not preferred:
            # It waits for a size that never comes: until the delay is over.
            return setup
        return replace(setup, rules=replace(rules, limit=largest, preferred=preferred or frozenset((largest,))))
