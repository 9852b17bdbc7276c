"""Requests, made by stacking items of equal shape."""

from collections.abc import Sequence

import numpy as np

from tcli_analyzer.inputs import Inputs


def stacked(items: Sequence[Inputs], size: int, batches: bool) -> list[Inputs]:
    """Requests of `size` items each, or of one without a batch dimension.

    Neighbours that have equal shapes go together. The last request of a shape begins again with that shape's first items.
    """
    if not batches:
        return list(items)
    groups: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    for number, item in enumerate(items):
        groups.setdefault(tuple((name, array.shape) for name, array in sorted(item.items())), []).append(number)
    chosen = []
    for members in groups.values():
        starts = range(0, len(members), size)
        chosen += [[members[(start + row) % len(members)] for row in range(size)] for start in starts]
    chosen.sort(key=lambda members: members[0])
    return [
        {name: np.stack([items[member][name] for member in members]) for name in items[members[0]]}
        for members in chosen
    ]
