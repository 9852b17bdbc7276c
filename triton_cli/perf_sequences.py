"""What `tcli perf` makes of its options about sequences, for models with state."""

from typing import TYPE_CHECKING

from triton_cli.perf_options import OptionError
from triton_cli.perf_settings import Plan

if TYPE_CHECKING:
    from tcli_analyzer.load import Sequences

_LAST_ID = 2**64 - 1
"""Triton's correlation ids are of 64 bits."""


def sequences_of(
    plan: Plan, pool: int, length: int | None, variation_percent: float, start_id: int, id_range: str
) -> "Sequences":
    """How the sequences of a model with state are made.

    Args:
        pool: how many are open at once with a request rate.

    Raises:
        OptionError: the range of ids is none, or sequences that are open at once would have to share one.
    """
    from tcli_analyzer.load import Sequences

    last_id = Sequences().last_id
    if id_range:
        start_id, last_id = _range(id_range, last_id)
    elif start_id > last_id:
        raise OptionError(f"--start-sequence-id: expected at most {last_id}, found {start_id}")
    sequences = Sequences(length, variation_percent / 100, first_id=start_id, last_id=last_id, pool=pool)
    at_once = plan.callers or pool
    if sequences.ids < at_once:
        option = "--sequence-id-range" if id_range else "--start-sequence-id"
        fewer = "--concurrency-range" if plan.callers else "--num-of-sequences"
        raise OptionError(
            f"{option}: the ids {start_id} to {last_id} are too few for {at_once} sequences at once; "
            f"allow more ids, or fewer sequences with {fewer}"
        )
    return sequences


def _range(text: str, last_id: int) -> tuple[int, int]:
    """The first id and the last one of `START` or `START:END`.

    Args:
        last_id: where no end is said.
    """
    first, _, end = text.partition(":")
    if not first.isdecimal() or not (end.isdecimal() or not end) or int(first) < 1:
        raise OptionError(f"--sequence-id-range: '{text}': expected START or START:END, whole numbers from 1")
    start_id = int(first)
    if not end and start_id > last_id:
        raise OptionError(f"--sequence-id-range: '{text}': START must be at most {last_id} where there is no END")
    last_id = int(end) - 1 if end else last_id
    if last_id < start_id:
        raise OptionError(f"--sequence-id-range: '{text}': END must be above START")
    if last_id > _LAST_ID:
        raise OptionError(f"--sequence-id-range: '{text}': ids go up to {_LAST_ID}")
    return start_id, last_id
