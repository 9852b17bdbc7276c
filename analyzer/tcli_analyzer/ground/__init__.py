"""What an analysis stands on: the model, what may be tried of it, and the bench on which it is measured."""

from collections.abc import Callable
from dataclasses import dataclass

from tcli_analyzer.bench import Bench
from tcli_analyzer.data import DataSource
from tcli_analyzer.evidence.neighbours import Measured
from tcli_analyzer.guard import Guard
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.space import Space, Variants
from tcli_analyzer.subject import Subject


@dataclass(frozen=True)
class Ground:
    """Ready to be measured on.

    Attributes:
        variants: the configurations, the model's own first.
        loads: by the items of a request.
        source: of the requests.
        bench: without a journal.
        guard: compares answers; None where only the server has the model.
        notes: what is known before anything is measured, one sentence each.
        where: for people: "this machine", or the server's address.
        limit: of the load generator, once it was measured; it is not where a server is asked.
        measured: the server's processes, where it is on this machine.
    """

    subject: Subject
    space: Space
    variants: Variants
    loads: dict[int, tuple[Load, ...]]
    source: DataSource
    bench: Bench
    guard: Guard | None
    notes: tuple[str, ...]
    where: str
    limit: Callable[[], GeneratorLimit | None] = lambda: None
    measured: Measured = tuple
