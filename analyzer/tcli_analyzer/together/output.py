"""Writes what an analysis of several models found: results, report, and a recommended folder for each model."""

import json
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tcli_analyzer.configuration import request_shapes
from tcli_analyzer.output import write_atomically
from tcli_analyzer.recommendation import Outcome
from tcli_analyzer.together.analysis import TogetherAnalysis
from tcli_analyzer.together.arrangement import Choice
from tcli_analyzer.together.page import render_page
from tcli_analyzer.together.results import together_document, together_frame
from tcli_analyzer.workspace import Workspace
from tcli_server.repository import format_config


@dataclass(frozen=True)
class Recommended:
    """A model's folder.

    Attributes:
        config: its config.pbtxt.
        version: the folder with the batchable model file that the configuration needs; None if it needs none.
        changed: whether it is another configuration than the current one.
    """

    config: Path
    version: Path | None
    changed: bool


@dataclass(frozen=True)
class WrittenTogether:
    """Where everything is."""

    csv: Path
    json: Path
    report: Path
    models: Mapping[str, Recommended]


def write_together(analysis: TogetherAnalysis, workspaces: Mapping[str, Workspace], folder: Path) -> WrittenTogether:
    """Write results.csv, results.json, report.html and recommended/<model>/ into `folder`, replacing older ones.

    Args:
        analysis: that came to its finals.

    Raises:
        OSError: the folder cannot be written.
    """
    recommendation = analysis.recommendation
    assert recommendation is not None
    folder.mkdir(parents=True, exist_ok=True)
    texts = {choice.model: _config_text(analysis, choice) for choice in recommendation.chosen.choices}
    csv, document, report = folder / "results.csv", folder / "results.json", folder / "report.html"
    write_atomically(csv, together_frame(analysis).to_csv(index=False))
    write_atomically(document, json.dumps(together_document(analysis), indent=2) + "\n")
    write_atomically(report, render_page(analysis, texts))
    models = {}
    for choice in recommendation.chosen.choices:
        place = folder / "recommended" / choice.model
        shutil.rmtree(place, ignore_errors=True)
        version = None
        if _needs_file(analysis, choice):
            shutil.copytree(workspaces[choice.model].rewritten / choice.model, place)
            version = place / "1"
        place.mkdir(parents=True, exist_ok=True)
        write_atomically(place / "config.pbtxt", texts[choice.model])
        models[choice.model] = Recommended(place / "config.pbtxt", version, not choice.configuration.current)
    return WrittenTogether(csv, document, report, models)


def _needs_file(analysis: TogetherAnalysis, choice: Choice) -> bool:
    batchable = analysis.parts[choice.model].subject.batchable
    return choice.configuration.rewritten_model and batchable is not None and bool(batchable.edits)


def _config_text(analysis: TogetherAnalysis, choice: Choice) -> str:
    recommendation = analysis.recommendation
    assert recommendation is not None
    undecided = recommendation.outcome is Outcome.UNDECIDED
    verb = "Kept" if choice.configuration.current else "Recommended"
    others = " and ".join(name for name in analysis.options.names if name != choice.model)
    when = f"{analysis.started:%Y-%m-%d %H:%M}"
    lines = [
        f"{verb}{' for now, nothing being decided,' if undecided else ''} by tcli analyze on {when}, "
        f"for a machine that also runs {others}.",
        *([] if undecided else [f"Measured: {recommendation.numbers(choice.model)}."]),
        recommendation.comparison(),
        f"Machine: {analysis.machine.sentence()}; tcli {analysis.machine.tcli}.",
    ]
    if _needs_file(analysis, choice):
        lines.append(
            "Needs the batchable model file that lies beside it. Requests now carry a batch dimension: "
            f"{request_shapes(choice.configuration.config)}."
        )
    comment = "\n".join(wrapped for line in lines for wrapped in textwrap.wrap(line, 110))
    return format_config(choice.configuration.config, comment)
