"""Measures the tables of service times, one for each group of configurations, round by round."""

from collections.abc import Callable, Collection, Iterator, Sequence

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.prediction.setup import carrier, setup_of
from tcli_analyzer.prediction.table import EntryKey, Table, all_entries, coarse_entries, cycle_seconds, make_table
from tcli_analyzer.searching.field import Field
from tcli_analyzer.searching.visits import Visits

ROUNDS = 3
LEAST_EXECUTIONS = 4
"""Of each instance in a window: three rounds have a dozen."""

HELD = 4
"""Configurations that stay loaded between rounds."""

_SECONDS = 0.5
_LEAST_SECONDS = 0.25
_WARM_UP_SECONDS = 0.15
_LONGEST = 20.0
_USUAL_CYCLE = 0.03
"""Seconds of an execution, before any is known."""

Told = Callable[[str], None]


class TableRounds:
    """The tables of a field in the making.

    Attributes:
        carriers: what each group's table is measured with.
    """

    def __init__(self, field: Field, visits: Visits, told: Told) -> None:
        self._field = field
        self._visits = visits
        self._told = told
        self.carriers = [carrier(members) for members in field.groups]
        self._largest = [self._largest_batch(members) for members in field.groups]
        self._windows: list[dict[EntryKey, list[Window]]] = [{} for _ in field.groups]
        self._pending: list[tuple[int, EntryKey]] = []
        self._until = 0.0
        self._seconds = _SECONDS
        self._sequences = next((load.sequences for load in field.loads), None)

    def measure_coarse(self, until: float) -> None:
        """The first round of all groups: as much as a first guess needs.

        Args:
            until: seconds of the search at which it ends, wherever it is then.
        """
        count = len(self.carriers)
        if count <= HELD:
            self._run([(group, entry) for group in range(count) for entry in self._coarse(group)], until, 1)
            return
        # Short and few windows of each, so that all have their turn; the order is spread, as neighbours are alike.
        self._seconds = min(_SECONDS, max(_LEAST_SECONDS, until / count / 4))
        bits = (count - 1).bit_length()
        groups = sorted(range(count), key=lambda group: int(f"{group:0{bits}b}"[::-1], 2))
        self._run([(group, entry) for group in groups for entry in self._coarse(group)[:2]], until, 1)
        self._seconds = _SECONDS

    def measure_rest(self, groups: Collection[int], until: float) -> None:
        """More rounds of these groups, with what is missing; ends as soon as the time is over."""
        orders = [sorted(groups, reverse=number % 2 == 1) for number in range(1, ROUNDS)]
        self._run([(group, entry) for order in orders for group in order for entry in self._entries(group)], until, 2)

    def measure_disturbed(self, groups: Collection[int], until: float) -> None:
        """Once more what others disturbed every time, later than at once: neighbours come and go."""
        self._run(
            [
                (group, entry)
                for group in groups
                for entry, found in self._windows[group].items()
                if found and not any(window.is_clean for window in found)
            ],
            until,
            1,
        )

    def _run(self, visits: list[tuple[int, EntryKey]], until: float, tries: int) -> None:
        held = list(dict.fromkeys(self.carriers[group] for group, _ in visits))
        self._visits.bench.hold(held if len(held) <= HELD else held[:1])
        self._pending, self._until = visits, until
        while self._pending:
            group, entry = self._pending[0]
            if self._visits.spent >= until and not self._is_first(group):
                break
            self._measure(group, entry, tries)
            self._pending = self._pending[1:]
        self._pending = []

    def _is_first(self, group: int) -> bool:
        """Whether it is the current configuration's, and still without a table: that much is always measured."""
        return group == 0 and self._table(0) is None

    @property
    def seconds_left(self) -> float:
        """Of the rounds under way."""
        cost = sum(self._entry_cost(group, entry) for group, entry in self._pending)
        return max(0.0, min(cost, self._until - self._visits.spent))

    def cost(self, groups: Collection[int], rounds: int = ROUNDS - 1) -> float:
        """Seconds that so many rounds of these groups take."""
        return rounds * sum(self._entry_cost(group, entry) for group in groups for entry in self._entries(group))

    def tables(self) -> dict[int, Table]:
        """Of the groups that have one by now."""
        return {group: table for group in range(len(self.carriers)) if (table := self._table(group)) is not None}

    def _table(self, group: int) -> Table | None:
        instances = self.carriers[group].instances
        windows = {key: found for key, found in self._windows[group].items() if found}
        ends = {(1, instances), (self._largest[group], instances)}
        return make_table(windows, instances) if ends <= windows.keys() else None

    def _measure(self, group: int, entry: EntryKey, tries: int) -> None:
        configuration = self.carriers[group]
        if self._visits.has_failed(configuration):
            return
        size, busy = entry
        side_by_side = f", {busy} at once" if busy > 1 else ""
        self._told(f"service time of batches of {size}{side_by_side} ({configuration.label})")
        options = VisitOptions(
            seconds=self._seconds,
            requests=round(LEAST_EXECUTIONS * self._seconds / _SECONDS) * busy,
            longest=_LONGEST,
            warm_up_seconds=_WARM_UP_SECONDS,
            items=size,
        )
        windows = self._visits.measure(configuration, ClosedLoad(busy, self._sequences), options, tries)
        self._windows[group].setdefault(entry, []).extend(window for window in windows if len(window.latencies_ms))

    def _coarse(self, group: int) -> list[EntryKey]:
        return coarse_entries(self._largest[group], self.carriers[group].instances)

    def _entries(self, group: int) -> list[EntryKey]:
        return all_entries(self._largest[group], self.carriers[group].instances)

    def _entry_cost(self, group: int, entry: EntryKey) -> float:
        cycle = self._cycle(group, entry)
        window = max(self._seconds, LEAST_EXECUTIONS * cycle)
        return window + max(_WARM_UP_SECONDS, 2 * cycle) + self._visits.overhead

    def _cycle(self, group: int, entry: EntryKey) -> float:
        """As measured, or by what is known of other sizes and groups."""
        own = self._windows[group].get(entry)
        if own:
            return cycle_seconds(own)
        per_item = [cycle_seconds(found) / size for size, _, found in self._known(group)]
        per_item = per_item or [
            cycle_seconds(found) / size for g in range(len(self.carriers)) for size, _, found in self._known(g)
        ]
        return entry[0] * (sum(per_item) / len(per_item) if per_item else _USUAL_CYCLE)

    def _known(self, group: int) -> Iterator[tuple[int, int, Sequence[Window]]]:
        for (size, busy), found in self._windows[group].items():
            if found:
                yield size, busy, found

    def _largest_batch(self, members: Sequence[Configuration]) -> int:
        """The largest that comes up: no batch holds more than is outstanding."""
        items = self._field.items
        limit = max(setup_of(one, items).rules.limit for one in members)
        loads = self._field.loads
        if all(isinstance(load, ClosedLoad) for load in loads):
            limit = min(limit, max((load.concurrency for load in loads if isinstance(load, ClosedLoad)), default=limit))
        return limit * items
