"""Searches for the rates of several configurations, each from where a prediction begins."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from tcli_analyzer.bench import Bench, CannotMeasureError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.prediction.forecast import scaled
from tcli_analyzer.prediction.setup import carrier, group_key, setup_of
from tcli_analyzer.prediction.stored import StoredTable, StoredTables
from tcli_analyzer.prediction.what_if import highest_rate
from tcli_analyzer.rate.found import RateFound
from tcli_analyzer.rate.probing import RateOptions
from tcli_analyzer.rate.search import RateProgress, find_rate
from tcli_analyzer.rate.slo import Slo
from tcli_analyzer.rate.start import Start, predicted_start

_MOST_PREDICTED, _FEW_REQUESTS = 100, 1500
"""Of predictions that only rank: a few seconds for all of them."""

LONGEST_SHARE = 0.5
"""Of a configuration's time, how much one run may take: the one that confirms needs about so much."""


def starts_of(
    wanted: Sequence[Configuration],
    configurations: Sequence[Configuration],
    tables: StoredTables | None,
    slo: Slo,
    items: int = 1,
) -> dict[Configuration, Start]:
    """Where the search for each one's rate begins, of those that can be predicted; a second or so of work for each.

    Args:
        configurations: all that the search had, as a table is of several that differ in the batcher's settings.
        tables: service times that the search has measured; None for none.
    """
    found = {}
    for one in wanted:
        table = _table_of(one, configurations, tables) if tables is not None else None
        if table is None or tables is None:
            continue
        try:
            service = scaled(table.service, items, tables.open_factor)
            found[one] = predicted_start(setup_of(one, items), service, slo)
        except ValueError:  # larger batches come up than were measured
            continue
    return found


def favourite(
    configurations: Sequence[Configuration], tables: StoredTables | None, slo: Slo, items: int = 1
) -> Configuration | None:
    """The one that is predicted to take the highest rate: which that is, throughput does not tell. None where nothing can be predicted.

    Args:
        configurations: all that the search had.
    """
    rates = {}
    for one in configurations[:_MOST_PREDICTED] if tables is not None else ():
        table = _table_of(one, configurations, tables) if tables is not None else None
        if table is None or tables is None or one.wrong_batches or max(1, one.max_batch_size) < items:
            continue
        with suppress(ValueError):  # larger batches come up than were measured
            rates[one] = highest_rate(setup_of(one, items), table, tables.open_factor, slo, items, _FEW_REQUESTS)
    best = max(rates, key=lambda one: rates[one], default=None)
    return best if best is not None and rates[best] > 0 else None


def find_rates(
    bench: Bench,
    wanted: Sequence[Configuration],
    slo: Slo,
    starts: Mapping[Configuration, Start],
    options: RateOptions,
    seconds: float,
    watch: Callable[[Configuration, RateProgress], bool],
    failed: Callable[[Configuration, str], None],
    found: dict[Configuration, RateFound],
) -> None:
    """Search one after the other.

    Args:
        seconds: of load for all together, about; each has the same share, so that an analysis that is resumed asks the same again.
        watch: told after each probe; says whether to go on.
        failed: told what could not be measured, and why.
        found: filled; what is there stays there whatever is raised.

    Raises:
        Stopped: as `Bench.visit`.
    """
    share = seconds / max(1, len(wanted))
    options = replace(
        options,
        most_seconds=min(options.most_seconds, share),
        longest_seconds=min(options.longest_seconds, LONGEST_SHARE * share),
    )
    for one in wanted:
        bench.hold([one])

        def told(progress: RateProgress, of: Configuration = one) -> bool:
            return watch(of, progress)

        try:
            found[one] = find_rate(bench, one, slo, starts.get(one, Start()), options, told)
        except CannotMeasureError as error:
            failed(one, str(error))


def _table_of(one: Configuration, configurations: Sequence[Configuration], tables: StoredTables) -> StoredTable | None:
    members = [other for other in configurations if group_key(other) == group_key(one)]
    label = carrier(members or [one]).label
    return next((table for table in tables.tables if table.label == label), None)
