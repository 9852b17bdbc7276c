"""The sections of a report: what an analysis has something to say of."""

from collections.abc import Iterator

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.goal import Objective
from tcli_analyzer.guard.accuracy import share
from tcli_analyzer.notes import disturbers
from tcli_analyzer.point import Point
from tcli_analyzer.report.all_points import all_points
from tcli_analyzer.report.charts.cells import panels_of, short_load
from tcli_analyzer.report.charts.front import front_chart
from tcli_analyzer.report.charts.gains import gains_chart, text_of
from tcli_analyzer.report.charts.heat import heat_chart
from tcli_analyzer.report.charts.predicted import predicted_chart
from tcli_analyzer.report.charts.rates import rates_chart
from tcli_analyzer.report.charts.split import split_chart
from tcli_analyzer.report.charts.timeline import Moment, timeline_chart
from tcli_analyzer.report.letters import Letters
from tcli_analyzer.report.parts import Row, Section, Table
from tcli_analyzer.results.finals import duels
from tcli_analyzer.results.samples import samples
from tcli_analyzer.searching.agreement import Error
from tcli_analyzer.summary import failures, is_proven, rejected

_BARS = 8
"""Configurations whose latency is split."""


def sections(analysis: Analysis) -> list[Section]:
    """In the order in which they are read."""
    letters = Letters(analysis.finals.points if analysis.finals is not None else ())
    makers = (_finals, _front, _heat, _rates, _split)
    found = [section for maker in makers for section in maker(analysis, letters)]
    more = (_prediction, _accuracy, _disturbed, _failed)
    found += [section for make in more for section in make(analysis)]
    return [*found, all_points(analysis)]


def _finals(analysis: Analysis, letters: Letters) -> Iterator[Section]:
    finals = analysis.finals
    if finals is None:
        return
    found = list(duels(finals, analysis.subject.default))
    if not found:
        return
    recommendation = analysis.recommendation
    chosen = recommendation.chosen if recommendation is not None and is_proven(analysis) else None
    what = finals.goal.gained

    def side(point: Point) -> str:
        return f"{letters.of(point.configuration)}: {point.configuration.label}"

    rows = tuple(
        Row(
            (side(duel.one), side(duel.other), text_of(duel, finals.goal), duel.compared.verdict.value),
            duel.one is chosen,
        )
        for duel in found
    )
    race = finals.race
    chart = gains_chart(found, letters, finals.tie, finals.goal)
    yield Section(
        "The finals: what is proven",
        f"Finalists were measured in turn (A B B A), and only pairs of undisturbed windows count: {race.rounds} round{'s' * (race.rounds != 1)} in "
        f"{finals.seconds:.0f} s, {race.dropped} of {race.total} windows dropped. Diamonds: the gain; bars: its interval, "
        f"valid although pairs were looked at as they came; dots: the pairs; grey: differences of up to {100 * finals.tie:g} %, "
        "which do not matter.",
        (chart,) if chart is not None else (),
        (Table(("finalist", "over", what, "verdict"), rows, words=True),),
    )


def _front(analysis: Analysis, letters: Letters) -> Iterator[Section]:
    every = [*analysis.points]
    if not every:
        return
    yield Section(
        "Throughput against latency",
        "Up and to the left is better; nothing measured beats the grey line. Letters: finalists, as the finals measured them, with "
        "the interval of their p99 and the span of their windows. Dots: seen once by the search; hollow: others took processor time, "
        "so it can do at least that; crosses: its answers are others, or could not be compared, so it cannot win.",
        (front_chart(every, letters, set(analysis.rejected()), analysis.options.goal),),
    )


def _heat(analysis: Analysis, letters: Letters) -> Iterator[Section]:
    del letters
    goal, prediction = analysis.options.goal, analysis.prediction
    trusted = prediction is not None and not prediction.fallback
    expected = prediction.expected if prediction is not None and trusted else ()
    panels = panels_of(analysis.points, expected, goal, analysis.rejected())
    if panels is None:
        return
    what = "Lowest p99 latency (ms)" if goal.objective is Objective.LATENCY else "Highest throughput (infer/s)"
    chart = heat_chart(panels, what)
    guessed = " Slanted, in a dotted frame: not measured, but predicted." if panels.has_predicted else ""
    yield Section(
        "Where it is fast",
        f"{chart.alt}, at the best load, which stands below. As the search saw it once: differences are proven by the finals alone."
        f"{guessed}",
        (chart,),
    )


def _rates(analysis: Analysis, letters: Letters) -> Iterator[Section]:
    del letters
    chart = rates_chart(samples(analysis), list(analysis.rates.values()))
    said = tuple(f"{configuration.label} {found.sentence}." for configuration, found in analysis.rates.items())
    if chart is not None or said:
        yield Section(
            "Latency against the rate of requests",
            "Requests come by a schedule, whether or not earlier ones are answered, and latency counts from when they were due. "
            "Upright lines: the rate that keeps the objective, with its interval.",
            (chart,) if chart is not None else (),
            items=said,
        )


def _split(analysis: Analysis, letters: Letters) -> Iterator[Section]:
    recommendation = analysis.recommendation
    assert recommendation is not None
    best = list(recommendation.ranking[:_BARS])
    bars = [(_named(point, letters), point) for point in best]
    chosen = recommendation.chosen.configuration
    loads = {point.load: point for point in analysis.points if chosen in (point.configuration, *point.same)}
    by_load = sorted(loads.values(), key=lambda point: (point.load.label.split()[0], _size(point)))
    charts = [split_chart("split", bars)] if bars else []
    if len(by_load) > 1:
        charts.append(
            split_chart("split-loads", [(f"{chosen.label}, {short_load(point.load)}", point) for point in by_load])
        )
    if charts:
        yield Section(
            "Where the time goes",
            "Queue: waiting for an instance. Input and output: gathering and splitting batches. Infer: the model itself. Other: "
            "submitting, switching threads and replying.",
            tuple(charts),
        )


def _named(point: Point, letters: Letters) -> str:
    letter = letters.of(point.configuration)
    place = f"{point.configuration.label}, {short_load(point.load)}"
    return f"{letter}: {place}" if letter else place


def _size(point: Point) -> float:
    load = point.load
    return float(getattr(load, "concurrency", 0) or getattr(load, "rate", 0))


def _prediction(analysis: Analysis) -> Iterator[Section]:
    prediction = analysis.prediction
    if prediction is None:
        return
    rows = tuple(
        Row(
            (
                kind,
                str(found.points),
                _error(found.throughput),
                _error(found.p50),
                _error(found.p99),
                f"{100 * found.coverage:.0f} %",
            )
        )
        for kind, found in prediction.agreement.items()
    )
    table = Table(("load", "points", "throughput", "p50", "p99", "inside of 80 %"), rows, words=True)
    chart = predicted_chart(prediction.compared)
    said = [
        f"{prediction.sentence()[:1].upper()}{prediction.sentence()[1:]}.",
        f"The search ended as {_because(prediction.stopped_by)}.",
    ]
    if prediction.fallback:
        said.append(f"Predictions were not trusted: {prediction.fallback}. Points were raced instead.")
    yield Section(
        "Prediction against measurement",
        "Every point was predicted from the measured service times before it was measured. Mean errors, and in brackets their mean with "
        "sign: above 0 where more was measured than predicted. Last column: how many lay inside of the interval predicted for 80 %. In the "
        "chart, grey: 10 % more and less.",
        (chart,) if chart is not None else (),
        (table,) if rows else (),
        (*said, *(f"{note[:1].upper()}{note[1:]}." for note in prediction.notes)),
    )


def _because(text: str) -> str:
    return text or "it was done"


def _error(error: Error) -> str:
    return f"{100 * error.mean:.1f} % ({100 * error.bias:+.1f})" if error.mean == error.mean else "–"


def _accuracy(analysis: Analysis) -> Iterator[Section]:
    if not analysis.accuracy:
        return
    rows = []
    for configuration, found in analysis.accuracy.items():
        top1 = found.top1.text if found.top1 is not None else "–"
        verdict = found.verdict if found.may_win else f"{found.verdict}: cannot win"
        largest = share(found.relative) if found.outputs else "–"
        warns = frozenset() if found.may_win else frozenset((1,))
        rows.append(Row((configuration.label, verdict, largest, top1, found.sentence), warns=warns))
    yield Section(
        "Are the answers the same?",
        "What can change numbers was compared with the model as it is, on the same inputs, before it could win. Largest difference: as "
        "a share of the largest value of that answer.",
        tables=(
            Table(
                ("configuration", "verdict", "largest difference", "same class", "in words"), tuple(rows), words=True
            ),
        ),
        items=tuple(rejected(analysis)),
    )


def _disturbed(analysis: Analysis) -> Iterator[Section]:
    moments = [
        Moment(one.stage, one.point.place, window) for one in samples(analysis) for window in one.point.windows.windows
    ]
    chart = timeline_chart(moments)
    who = disturbers(analysis)
    dropped = sum(not moment.window.is_clean for moment in moments)
    said = [f"{dropped} of {len(moments)} windows were disturbed{f': {who}' if who else ''}."]
    said += [
        f"{name}: {seconds:.0f} s of processor time meanwhile." for name, seconds in analysis.neighbours.busiest(8)[3:]
    ]
    if chart is None:
        said = ["What others take of the processor cannot be seen here."]
    yield Section(
        "What disturbed the run",
        "Of the processor time that load generator and model wanted in a window, the share that others had. Windows above the dashed "
        "line (2 %) are hollow, were measured again where there was time, and carry no claim." if chart is not None else "",
        (chart,) if chart is not None else (),
        items=tuple(said),
    )  # fmt: skip


def _failed(analysis: Analysis) -> Iterator[Section]:
    rows = tuple(Row((places, reason)) for places, reason in failures(analysis))
    if rows:
        yield Section("What could not be measured", tables=(Table(("configuration", "reason"), rows, words=True),))
