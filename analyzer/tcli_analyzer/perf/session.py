"""One load after the other."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load import Load
from tcli_analyzer.perf.loads import Search
from tcli_analyzer.perf.measured import Measured
from tcli_analyzer.perf.measurement import Observer, PerfOptions, measure
from tcli_analyzer.target import Target


def measure_all(
    target: Target,
    requests: Sequence[Inputs],
    search: Search,
    load_of: Callable[[float], Load],
    options: PerfOptions,
    stop: threading.Event,
    pids: Iterable[int],
    observer: Observer,
) -> Iterator[Measured]:
    """Each load as soon as it is measured, until the search ends or `stop` is set.

    Raises:
        LoadFailedError, NothingAnsweredError, ServerError: as `measure`; also after a load that has windows until then.
    """
    pids = tuple(pids)
    value = next(search, None)
    while value is not None and not stop.is_set():
        load = load_of(value)
        observer.begins(load)
        measured = measure(target, requests, load, options, stop, pids, observer)
        yield measured
        if measured.failed is not None:
            raise measured.failed
        try:
            value = search.send(not measured.over_limit and not measured.overloaded)
        except StopIteration:
            return
