"""The configurations that were tried, each as a config.pbtxt in a folder with Model Analyzer's name."""

import textwrap

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.results.samples import Stage, name_of, samples
from tcli_server.repository import format_config


def variant_configs(analysis: Analysis) -> dict[str, str]:
    """The text of each by its name: all that were measured, and those that failed.

    The `name` is left out, so that a file is right in the model's own folder as well as in a folder of the variant's name.
    """
    tried: dict[Configuration, list[tuple[Stage, Point]]] = {}
    for sample in samples(analysis):
        for configuration in (sample.point.configuration, *sample.point.same):
            tried.setdefault(configuration, []).append((sample.stage, sample.point))
    for failure in analysis.failures:
        tried.setdefault(failure.configuration, [])
    model = analysis.options.model
    return {name_of(one, model): _text(one, points, analysis) for one, points in tried.items()}


def _text(configuration: Configuration, points: list[tuple[Stage, Point]], analysis: Analysis) -> str:
    goal = analysis.options.goal
    lines = [
        f"{configuration.label}, tried by tcli analyze on {analysis.started:%Y-%m-%d %H:%M} for the {goal.describe()}."
    ]
    finals = [point for stage, point in points if stage is Stage.FINAL]
    searched = [point for stage, point in points if stage is Stage.SEARCH]
    for point in finals or sorted(searched, key=lambda one: goal.value(one.measured))[-1:]:
        m = point.measured
        where = "Finals" if finals else "Search"
        disturbed = "" if point.is_clean else ", disturbed: or better"
        lines.append(
            f"{where}: {short(m.throughput)} infer/s, p99 {short(m.latency_ms(0.99))} ms at {point.load.label}{disturbed}."
        )
    accuracy = analysis.accuracy.get(configuration)
    if accuracy is not None:
        lines.append(f"Answers: {accuracy.sentence}." if accuracy.may_win else f"Cannot win: {accuracy.reason}.")
    reasons = dict.fromkeys(one.reason for one in analysis.failures if one.configuration is configuration)
    lines += [f"Failed: {reason}" for reason in reasons]
    if configuration.rewritten_model:
        lines.append("Needs the batchable model file.")
    config = ModelConfig()
    config.CopyFrom(configuration.config)
    config.ClearField("name")
    return format_config(
        config, "\n".join(wrapped for line in lines for wrapped in textwrap.wrap(line, 110, break_on_hyphens=False))
    )
