"""Tables of service times as JSON: kept with an analysis, they answer what nobody measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcli_analyzer.prediction.service import Entry, ServiceTimes

VERSION = 1

_QUANTILES = 64
"""How many factors are kept of those by which single executions differ."""

_MOST = 1 << 20
"""Of anything that is counted: more would take the memory of whoever asks."""

_LONGEST = 1e6
"""Seconds, or times as long."""


class StoredTablesError(Exception):
    """A document is not of tables; the message says where and what."""


@dataclass(frozen=True)
class StoredTable:
    """Of configurations that differ in the batcher's settings at most.

    Attributes:
        label: of the configuration that it was measured with.
        instances: as there.
        service: how long executions take.
        shares: free instances divide what is queued, as they do on a CPU.
        variation: how much repeated measurements differed, relative.
        is_clean: whether every entry was measured undisturbed.
        is_coarse: whether only the ends were measured, as the group could not win.
    """

    label: str
    instances: int
    service: ServiceTimes
    shares: bool = True
    variation: float = 0.0
    is_clean: bool = True
    is_coarse: bool = False

    @property
    def largest(self) -> int:
        """The largest batch that can be predicted."""
        return max(self.service.entries)


@dataclass(frozen=True)
class StoredTables:
    """All tables of a model.

    Attributes:
        tables: one for each group of configurations.
        open_factor: on all times where requests come by a schedule; 1 if that was not measured.
        errors: mean absolute error of predictions, relative, by figure: "throughput", "p50", "p99"; where something was compared.
        items: inferences in a request when it was compared.
    """

    tables: Sequence[StoredTable]
    open_factor: float = 1.0
    errors: Mapping[str, float] | None = None
    items: int = 1


def write_tables(tables: StoredTables) -> dict[str, Any]:
    """As JSON values. Residuals are kept as quantiles, with the same mean."""
    return {
        "version": VERSION,
        "open_factor": tables.open_factor,
        "errors": dict(tables.errors or {}),
        "items": tables.items,
        "tables": [_document(table) for table in tables.tables],
    }


def read_tables(document: object) -> StoredTables:
    """What `write_tables` wrote.

    Raises:
        StoredTablesError: it is something else.
    """
    if not isinstance(document, Mapping):
        raise StoredTablesError(f"expected an object with service times, found {type(document).__name__}")
    version = document.get("version")
    if version != VERSION:
        raise StoredTablesError(f"service times of version {version!r}, expected {VERSION}: analyze the model again")
    try:
        tables = tuple(_table(table) for table in document["tables"])
        errors = {str(key): float(value) for key, value in document["errors"].items()}
        factor, items = _positive(document, "open_factor"), _count(document, "items")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoredTablesError(f"the service times are damaged ({error!r}): analyze the model again") from None
    return StoredTables(tables, factor, errors, items)


def _document(table: StoredTable) -> dict[str, Any]:
    return {
        "label": table.label,
        "instances": table.instances,
        "shares": table.shares,
        "variation": table.variation,
        "is_clean": table.is_clean,
        "is_coarse": table.is_coarse,
        "slowdown": list(table.service.slowdown),
        "reply_seconds": table.service.reply_seconds,
        "entries": [
            {"batch": size, "seconds": entry.seconds, "residuals": _quantiles(entry.residuals)}
            for size, entry in sorted(table.service.entries.items())
        ],
    }


def _quantiles(residuals: object) -> list[float]:
    values = np.sort(np.asarray(residuals, np.float64))
    if len(values) > _QUANTILES:
        values = np.quantile(values, (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    return [round(value, 5) for value in (values / values.mean()).tolist()]


def _table(document: Mapping[str, Any]) -> StoredTable:
    entries = {
        _count(entry, "batch"): Entry(_positive(entry, "seconds"), tuple(float(value) for value in entry["residuals"]))
        for entry in document["entries"]
    }
    if 1 not in entries or not all(
        sum(entry.residuals) > 0 and all(0 <= value <= _LONGEST for value in entry.residuals)
        for entry in entries.values()
    ):
        raise ValueError(f"entries of '{document['label']}'")
    slowdown = [float(factor) for factor in document["slowdown"]]
    if not slowdown or not all(0 < factor <= _LONGEST for factor in slowdown):
        raise ValueError(f"slowdown of '{document['label']}'")
    reply_seconds = float(document["reply_seconds"])
    if not 0 <= reply_seconds <= _LONGEST:
        raise ValueError(f"reply_seconds of '{document['label']}'")
    return StoredTable(
        label=str(document["label"]),
        instances=_count(document, "instances"),
        service=ServiceTimes(entries, slowdown, reply_seconds),
        shares=bool(document["shares"]),
        variation=float(document["variation"]),
        is_clean=bool(document["is_clean"]),
        is_coarse=bool(document["is_coarse"]),
    )


def _positive(document: Mapping[str, Any], name: str) -> float:
    value = float(document[name])
    if not 0 < value <= _LONGEST:
        raise ValueError(f"{name}: {value}")
    return value


def _count(document: Mapping[str, Any], name: str) -> int:
    value = int(document[name])
    if not 1 <= value <= _MOST:
        raise ValueError(f"{name}: {value}")
    return value
