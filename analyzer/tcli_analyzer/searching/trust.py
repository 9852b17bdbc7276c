"""Whether predictions are to be trusted, and how they went."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.prediction.setup import setup_of
from tcli_analyzer.prediction.stored import StoredTable
from tcli_analyzer.prediction.table import Table
from tcli_analyzer.searching.agreement import Agreement, Compared

CLOSED, OPEN, OPEN_CHECK = "closed loop", "open loop", "open loop, before the factor on service times"
"""Kinds of load in `Prediction.agreement`."""

LARGEST_ERROR = 0.15
"""Of throughput on average: above it predictions are not trusted. Of latencies at a rate twice that."""
LARGEST_VARIATION = 0.08
"""Between repeated measurements of a service time: above it a table says nothing."""

COARSE_DEVIATION = 0.08
"""Of predictions from a table of which only the ends were measured once, beside that of all predictions."""
DISTURBED_DEVIATION = 0.15
"""Of predictions from a table of which others disturbed every measurement of some entry."""


def distrust_of_tables(tables: Iterable[Table]) -> str:
    """Why nothing can be predicted from these; empty if it can."""
    variation = max((table.variation for table in tables), default=math.inf)
    if math.isinf(variation):
        return "no service time could be measured"
    if variation > LARGEST_VARIATION:
        return f"service times are not repeatable: they vary by {100 * variation:.0f} %"
    return ""


def distrust_of_predictions(compared: Mapping[str, Sequence[Compared]], least: int) -> str:
    """Why predictions are not to be trusted; empty if they are, or fewer points than `least` were compared."""
    closed, opened = compared.get(CLOSED, ()), compared.get(OPEN, ())
    pairs = [one.throughput for one in closed] or [one.p50_ms for one in opened]
    allowed = LARGEST_ERROR if closed else 2 * LARGEST_ERROR
    if len(pairs) < least:
        return ""
    error = math.expm1(fmean(abs(math.log(measured / predicted)) for predicted, measured in pairs))
    return f"predictions are off by {100 * error:.0f} % on average" if error > allowed else ""


def doubt(table: Table) -> float:
    """The deviation of predictions from a table that is not what it should be."""
    return math.hypot(COARSE_DEVIATION * table.is_coarse, DISTURBED_DEVIATION * (not table.is_clean))


def stored(configuration: Configuration, table: Table) -> StoredTable:
    """To keep."""
    return StoredTable(
        label=configuration.label,
        instances=configuration.instances,
        service=table.service,
        shares=setup_of(configuration).shares,
        variation=table.variation,
        is_clean=table.is_clean,
        is_coarse=table.is_coarse,
    )


def errors_of(found: Mapping[str, Agreement]) -> dict[str, float]:
    """The model error by figure: of closed loops, or else of what there is."""
    for kind in (CLOSED, OPEN):
        if kind in found:
            one = found[kind]
            return {"throughput": one.throughput.mean, "p50": one.p50.mean, "p99": one.p99.mean}
    return {}
