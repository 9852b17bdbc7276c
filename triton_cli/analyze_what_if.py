"""`tcli analyze --what-if`: what an earlier analysis has measured answers what nobody measured."""

import json as json_module
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from triton_cli.analyze_settings import Asked, settle
from triton_cli.console import fail, out, printable
from triton_cli.tables import show_table

if TYPE_CHECKING:
    from tcli_analyzer.load import Load
    from tcli_analyzer.options import AnalysisOptions
    from tcli_analyzer.prediction.scenario import Outlook, Scenario
    from tcli_analyzer.prediction.what_if import Answer

_FIXED = ("threads", "engines", "providers", "precisions", "graph_levels")
"""Dimensions that change how long executions take: only what was measured can be said of them."""

_ALL = dict(enumerate(("CONFIGURATION", "LOAD", "INFER/S", "P50 MS", "P99 MS", "BATCH", "BUSY")))
_MOST = (0, 1, 2, 4, 6)
_LEAST = (0, 1, 2, 4)
"""Columns of a terminal that is narrow, and of one that is narrower."""

_T = TypeVar("_T")


def answer_what_if(asked: Asked, config: Path | None, apply: bool, json: bool) -> None:
    """Predict, and show it: a table and a sentence, or JSON."""
    from tcli_analyzer.earlier import EarlierError, read_earlier
    from tcli_analyzer.prediction.scenario import look_ahead, stored_tables, usual_loads
    from tcli_analyzer.prediction.what_if import WhatIfError

    _refuse(asked, apply)
    try:
        if not asked.model and asked.output is not None:
            asked = replace(asked, model=read_earlier(asked.output).model)
        options, folder, *_ = settle(asked, config)
        earlier = read_earlier(folder)
        if earlier.model != options.model:
            fail(
                f"{earlier.path} is of model '{earlier.model}', not of '{options.model}'",
                f"name that model, or the folder of an analysis of '{options.model}' with --output",
            )
        tables = stored_tables(earlier)
        outlook = look_ahead(tables, _scenario(options, usual_loads(earlier)))
    except EarlierError as error:
        fail(str(error), error.fix)
    except WhatIfError as error:
        fail(str(error))
    if json:
        document = {"model": earlier.model, "results": str(earlier.path), **outlook.document()}
        sys.stdout.write(json_module.dumps(document, indent=2) + "\n")
        return
    _show(outlook)


def _refuse(asked: Asked, apply: bool) -> None:
    given = [name for name in _FIXED if asked.spaces.get(name)]
    if given:
        raise typer.BadParameter(
            "not with --what-if: how long executions take then must be measured; leave --what-if out",
            param_hint=f"--{given[0].replace('_', '-')}",
        )
    pointless = {
        "--apply": apply,
        "--resume": asked.resume,
        "--url": bool(asked.server[0]),
        "--max-time": bool(asked.max_time),
        "--search": bool(asked.search),
        "--tie": asked.tie_percent is not None,
        "--tolerance": asked.tolerance is not None,
        "--input": bool(asked.inputs),
        **dict(zip(("--png", "--markdown", "--parquet"), asked.also, strict=True)),
    }
    for option, is_given in pointless.items():
        if is_given:
            raise typer.BadParameter("not with --what-if, which measures and changes nothing", param_hint=option)


def _scenario(options: "AnalysisOptions", usual: "list[Load]") -> "Scenario":
    from tcli_analyzer.load import ClosedLoad, OpenLoad
    from tcli_analyzer.prediction.scenario import Scenario
    from tcli_analyzer.prediction.what_if import Question

    space = options.space
    closed = [ClosedLoad(each) for each in space.concurrency or ()]
    rates = [
        OpenLoad(each, options.distribution, options.seed, options.gaps_seconds) for each in space.request_rates or ()
    ]
    question = Question(
        loads=[*closed, *rates] or usual,
        batch_limits=space.max_batch_sizes or None,
        delays_us=space.queue_delays_us or (0,),
        preferred=_one(space.preferred_batch_sizes, (), "--preferred-batch-sizes"),
        items=_one(space.client_batch_sizes, 1, "--client-batch-sizes"),
    )
    return Scenario(question, options.goal, options.slo, space.instances or None)


def _one(values: tuple[_T, ...] | None, usual: _T, option: str) -> _T:
    if values and len(values) > 1:
        raise typer.BadParameter("one at a time with --what-if", param_hint=option)
    return values[0] if values else usual


def _show(outlook: "Outlook") -> None:
    from tcli_analyzer.numbers import short

    if outlook.scenario.slo is not None:
        rows = [(rate.label, short(rate.requests_per_second)) for rate in outlook.rates]
        show_table(("CONFIGURATION", "REQUESTS/S"), rows)
    else:
        _show_answers(outlook)
    out().print(printable(f"\n{outlook.sentence()}"), markup=False)


def _show_answers(outlook: "Outlook") -> None:
    """A table with as many columns as a terminal has room for."""
    rows = [_row(answer, outlook) for answer in outlook.answers]
    console = out()
    for columns in (_ALL, _MOST, _LEAST):
        headings = [_ALL[column] for column in columns]
        kept = [[row[column] for column in columns] for row in rows]
        wide = sum(max(map(len, column)) + 2 for column in zip(headings, *kept, strict=True)) - 2
        if not console.is_terminal or wide <= console.width or columns is _LEAST:
            show_table(headings, kept)
            return


def _row(answer: "Answer", outlook: "Outlook") -> tuple[str, ...]:
    from tcli_analyzer.load import ClosedLoad
    from tcli_analyzer.numbers import short
    from tcli_analyzer.prediction.scenario import answer_label

    load = answer.load
    p50, p99 = answer.latency_ms[50.0], answer.latency_ms[99.0]
    latencies = ("", "overloaded") if answer.overloaded or math.isnan(p99) else (short(p50), short(p99))
    if answer.latency_error and not answer.overloaded:
        latencies = (latencies[0], f"{latencies[1]} ±{short(p99 * answer.latency_error)}")
    return (
        f"{answer_label(answer)}{' *' if answer is outlook.best else ''}",
        f"{load.concurrency} clients" if isinstance(load, ClosedLoad) else f"{load.rate:.4g}/s",
        short(answer.throughput),
        *latencies,
        f"{answer.batch_avg:.2g}",
        f"{100 * answer.utilisation:.0f} %",
    )
