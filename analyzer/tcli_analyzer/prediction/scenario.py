"""What-if questions to a finished analysis: answered from the service times that it has measured, without measuring."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tcli_analyzer.earlier import Earlier, EarlierError
from tcli_analyzer.goal import Goal, Objective
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.numbers import short
from tcli_analyzer.prediction.stored import StoredTables, StoredTablesError, read_tables
from tcli_analyzer.prediction.what_if import (
    Answer,
    Question,
    WhatIfError,
    best_answer,
    highest_rate,
    limits_of,
    stored_setup,
    what_if,
)
from tcli_analyzer.rate.slo import Slo

_FIGURES = ("throughput", "p50", "p99")


@dataclass(frozen=True)
class Scenario:
    """What is asked.

    Attributes:
        question: with loads, where no rate is looked for.
        goal: by which the answers are ranked.
        slo: the highest rate that keeps it is looked for, in place of answers to loads.
        instances: only configurations with so many; None for all that were measured.
    """

    question: Question
    goal: Goal = field(default_factory=Goal)
    slo: Slo | None = None
    instances: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """The highest rate of a configuration that is predicted to keep an objective.

    Attributes:
        label: of the configuration.
        requests_per_second: 0 where not even single requests keep it.
    """

    label: str
    requests_per_second: float


@dataclass(frozen=True)
class Outlook:
    """What is predicted.

    Attributes:
        answers: to loads, in the order in which they were asked.
        best: of them; None where none keeps the budget.
        rates: best first, where rates were looked for.
        errors: mean absolute error of such predictions in that analysis, relative, by figure; empty where nothing was compared.
    """

    scenario: Scenario
    answers: Sequence[Answer]
    best: Answer | None
    rates: Sequence[Rate]
    errors: dict[str, float]

    def sentence(self) -> str:
        """One for people: what is best, and what a prediction is worth."""
        return f"{self._best()} {self.warning()}"

    def warning(self) -> str:
        """That nothing was measured, and how wrong such predictions were."""
        if not self.errors:
            return "A prediction: nothing was measured, and that analysis compared no prediction with a measurement."
        parts = [f"{100 * error:.0f} % in {figure}" for figure, error in self.errors.items()]
        return f"A prediction: nothing was measured now; in that analysis predictions were off by {_and(parts)} on average."

    def _best(self) -> str:
        if self.scenario.slo is not None:
            return self._best_rate(self.scenario.slo)
        budget = self.scenario.goal.latency_budget_ms
        if self.best is None:
            if budget is None:
                return "Every configuration is overloaded by these rates."
            careful = ", careful as predictions err" if self.errors.get("p99") else ""
            return f"No configuration is predicted to keep a p99 latency of {budget:g} ms under these loads{careful}."
        kept = f" within a p99 latency of {budget:g} ms" if budget is not None else ""
        best = self.best
        return (
            f"Best{kept}: {answer_label(best)} at {best.load.label}, {short(best.throughput)} infer/s, "
            f"p99 {short(best.latency_ms[99.0])} ms."
        )

    def _best_rate(self, slo: Slo) -> str:
        if not self.rates or not self.rates[0].requests_per_second:
            return f"No configuration is predicted to keep {slo.text}, not even for single requests."
        best = self.rates[0]
        return f"{best.label} takes most: {short(best.requests_per_second)} requests/s with {slo.text}."

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sentence": self.sentence(),
            "errors": self.errors,
            "latency_budget_ms": self.scenario.goal.latency_budget_ms,
            "slo": self.scenario.slo.text if self.scenario.slo is not None else None,
            "answers": [_answer(answer, answer is self.best) for answer in self.answers],
            "rates": [
                {"configuration": rate.label, "requests_per_second": rate.requests_per_second} for rate in self.rates
            ],
        }


def stored_tables(earlier: Earlier) -> StoredTables:
    """The service times that an analysis has measured.

    Raises:
        EarlierError: it has none.
    """
    again = f"analyze the model once more with --search quick: tcli analyze -m {earlier.model}"
    found = earlier.part("prediction").get("tables")
    if found is None:
        search = earlier.document.get("search")
        raise EarlierError(
            f"{earlier.path} has no service times: it is of --search {search}, which predicts nothing", again
        )
    try:
        return read_tables(found)
    except StoredTablesError as error:
        raise EarlierError(f"{earlier.path}: {error}") from None


def usual_loads(earlier: Earlier) -> list[Load]:
    """Those of the analysis, to ask where none are named: its numbers of outstanding requests."""
    known = {row.get("concurrency") for row in earlier.rows("points")}
    callers = sorted(int(one) for one in known if isinstance(one, int | float) and 1 <= one < 1e6)
    return [ClosedLoad(each) for each in callers or (1, 2, 4, 8)]


def look_ahead(tables: StoredTables, scenario: Scenario) -> Outlook:
    """Answer.

    Raises:
        WhatIfError: it cannot be answered from these tables.
    """
    kept = [one for one in tables.tables if scenario.instances is None or one.instances in scenario.instances]
    if not kept and tables.tables:
        known = ", ".join(map(str, sorted({one.instances for one in tables.tables})))
        raise WhatIfError(
            f"nothing was measured with {', '.join(map(str, scenario.instances or ()))} instances: only {known}"
        )
    tables = replace(tables, tables=tuple(kept))
    errors = {name: error for name, error in (tables.errors or {}).items() if name in _FIGURES and error == error}
    if scenario.slo is not None:
        return Outlook(scenario, (), None, _rates(tables, scenario, scenario.slo), errors)
    answers = what_if(tables, scenario.question)
    return Outlook(scenario, answers, _best(answers, scenario.goal), (), errors)


def _best(answers: Sequence[Answer], goal: Goal) -> Answer | None:
    budget = goal.latency_budget_ms
    best = best_answer(answers, budget)
    if best is None or goal.objective is Objective.THROUGHPUT:
        return best
    kept = (one for one in answers if best_answer([one], budget) is not None)
    return min(kept, key=lambda one: one.latency_ms[99.0])


def _rates(tables: StoredTables, scenario: Scenario, slo: Slo) -> list[Rate]:
    question = scenario.question
    what_if(tables, replace(question, loads=()))  # says what cannot be answered
    found = []
    for table in tables.tables:
        for limit in limits_of(table, question):
            for delay in question.delays_us if limit > 1 else (0,):
                setup = stored_setup(table, limit, delay, question.preferred, question.items)
                rate = highest_rate(setup, table, tables.open_factor, slo, question.items)
                found.append(Rate(setting_label(table.label, limit, delay), rate))
    return sorted(found, key=lambda one: -one.requests_per_second)


def answer_label(answer: Answer) -> str:
    """Of the configuration: "batch 4, 2 instances, delay 1 ms"."""
    return setting_label(answer.table, answer.max_batch_size, answer.delay_us)


def setting_label(table: str, limit: int, delay_us: int) -> str:
    """The label of a configuration that runs as a table was measured, with a batcher of its own."""
    named = _NAMED.fullmatch(table)
    table = f"{named[1]}{named[2]}" if named else table
    parts = [part for part in table.split(", ") if not part.startswith(_BATCHERS)]
    batch = "no batching" if table.startswith("no batching") else f"batch {limit}"
    delay = f"delay {delay_us / 1e3:g} ms" if delay_us else ""
    return ", ".join(part for part in (batch, *parts, delay) if part)


_NAMED = re.compile(r"(?:current|defaults) \((.*)\)(.*)")
_BATCHERS = ("batch ", "no batching", "no batcher", "delay ", "no delay", "without delay", "preferred ", "no preferred")
"""How parts of a label begin that are the batcher's."""


def _answer(answer: Answer, is_best: bool) -> dict[str, Any]:
    return {
        "configuration": answer_label(answer),
        "instances": answer.instances,
        "max_batch_size": answer.max_batch_size,
        "queue_delay_us": answer.delay_us,
        "concurrency": answer.load.concurrency if isinstance(answer.load, ClosedLoad) else None,
        "request_rate": None if isinstance(answer.load, ClosedLoad) else answer.load.rate,
        "throughput_infer_per_s": float(answer.throughput),
        **{f"latency_p{percentile:g}_ms": _number(value) for percentile, value in answer.latency_ms.items()},
        "executed_batch_avg": float(answer.batch_avg),
        "utilization": float(answer.utilisation),
        "overloaded": bool(answer.overloaded),
        "best": is_best,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
