"""How the models of a server are shown: the same columns on a live terminal and in plain text."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triton_cli.tables import one_line

if TYPE_CHECKING:
    from tcli_client.watch import Activity, Machine, ModelActivity

_LONGEST_NAME = 40
_GAP = 2


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        place: from 0, the one that stays longest where there is little room.
    """

    heading: str
    place: int
    cell: "Callable[[ModelActivity], str]"


def columns_of(models: "Sequence[ModelActivity]") -> list[Column]:
    """Those that have something to show for these models."""
    from tcli_client.watch import PercentilesOf

    with_percentiles = any(model.percentiles_of is not PercentilesOf.NOTHING for model in models)
    without = not with_percentiles or any(model.percentiles_of is PercentilesOf.NOTHING for model in models)
    unready = any(model.state not in ("", "READY") for model in models)
    columns = [
        Column("MODEL", 0, lambda model: _shortened(one_line(model.name[: _LONGEST_NAME + 1]))),
        Column("VER", 6, lambda model: one_line(model.version[:8])[:8]),
        Column(
            "STATE",
            3 if unready else 11,
            lambda model: one_line(model.state[:12]).lower()[:12] or ("" if model.version else "not loaded"),
        ),
        Column("REQ/S", 1, lambda model: number(model.requests_per_second)),
        Column("INF/S", 9, lambda model: number(model.inferences_per_second)),
        Column("ERR/S", 4, lambda model: number(model.errors_per_second)),
    ]
    if any(model.pending is not None for model in models):
        columns.append(Column("PENDING", 5, lambda model: number(model.pending)))
    columns += [
        Column("QUEUE MS", 7, lambda model: number(model.queue_ms)),
        Column("BATCH", 8, lambda model: number(model.batch)),
    ]
    if with_percentiles:
        columns.append(Column("P50 MS", 10, lambda model: number(model.p50_ms)))
        columns.append(Column("P99 MS", 2, lambda model: number(model.p99_ms)))
    if without:
        columns.append(Column("MEAN MS", 3 if with_percentiles else 2, lambda model: number(model.mean_ms)))
    return columns


def nothing_shown(activity: "Activity") -> str:
    """What stands in place of a table without models.

    Args:
        activity: of the whole server.
    """
    if not activity.models:
        return "no models"
    count = len(activity.models)
    return f"none of the server's {count} model{'s' * (count != 1)} has a name that --model asks for"


def table_lines(
    models: "Sequence[ModelActivity]", width: int | None, columns: Sequence[Column] | None = None
) -> list[str]:
    """Headings and a line a model; without those columns for which there is no room.

    Args:
        width: None for as wide as it comes.
        columns: of all models, where these are only some of them.
    """
    from rich.cells import cell_len, set_cell_size  # a character of Chinese takes two places, an accent of its own none

    kept = list(columns or columns_of(models))
    while True:
        texts = [[column.heading, *(column.cell(model) for model in models)] for column in kept]
        wide = [max(map(cell_len, column)) for column in texts]
        if width is None or sum(wide) + _GAP * (len(wide) - 1) <= width or len(kept) <= 2:
            break
        kept.remove(max(kept, key=lambda column: column.place))
    left = {"MODEL", "VER", "STATE"}
    aligned = [
        [set_cell_size(text, most) if column.heading in left else text.rjust(most) for text in texts_of]
        for column, texts_of, most in zip(kept, texts, wide, strict=True)
    ]
    lines = [(" " * _GAP).join(cells).rstrip() for cells in zip(*aligned, strict=True)]
    return lines if width is None else [set_cell_size(line, min(width, cell_len(line))) for line in lines]


def machine_line(machine: "Machine") -> str:
    """CPU, memory and GPUs; empty where nothing is known."""
    parts = []
    if machine.cpu_utilisation is not None:
        parts.append(f"CPU {100 * machine.cpu_utilisation:.0f} %")
    if machine.memory_used_bytes is not None:
        parts.append(f"memory {_of(machine.memory_used_bytes, machine.memory_total_bytes)}")
    for place, gpu in enumerate(machine.gpus.values()):
        facts = []
        if gpu.utilisation is not None:
            facts.append(f"{100 * gpu.utilisation:.0f} %")
        if gpu.memory_used_bytes is not None:
            facts.append(_of(gpu.memory_used_bytes, gpu.memory_total_bytes))
        if gpu.power_watts is not None:
            facts.append(f"{gpu.power_watts:.0f} W")
        parts.append(f"GPU {place} {', '.join(facts)}")
    return "  ".join(parts)


def notes_of(activity: "Activity") -> list[str]:
    """What has to be known to read the numbers right."""
    from tcli_client.watch import PercentilesOf

    sources = {model.percentiles_of for model in activity.models if model.requests_per_second}
    notes = [one_line(note) for note in activity.notes]
    if PercentilesOf.NOTHING in sources:
        notes.append("MEAN MS: the server tells no percentiles (tcli and Triton do with --metrics-config)")
    if PercentilesOf.MINUTE in sources:
        notes.append("P50, P99: of the last minute, from the server's summaries")
    if PercentilesOf.INTERVAL in sources:
        notes.append("P50, P99: of this interval, as exact as the buckets of the server's histograms")
    if activity.restarted:
        notes.append("counters began again: the server or a model was started anew")
    return notes


def number(value: float | None) -> str:
    """Three digits; "-" for what is not known, "over" for more than a histogram can tell."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "over"
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.3g}"


def _shortened(name: str) -> str:
    from rich.cells import cell_len, set_cell_size

    if cell_len(name) <= _LONGEST_NAME:
        return name
    return f"{set_cell_size(name, _LONGEST_NAME - 3).rstrip()}..."


def _of(used_bytes: float, total_bytes: float | None) -> str:
    total = f" of {total_bytes / 2**30:.1f}" if total_bytes is not None else ""
    return f"{used_bytes / 2**30:.1f}{total} GiB"
