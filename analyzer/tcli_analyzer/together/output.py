"""Writes what an analysis of several models found: results, report, and a recommended folder for each model."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tcli_analyzer.configuration import request_shapes
from tcli_analyzer.recommendation import Outcome
from tcli_analyzer.together.analysis import TogetherAnalysis
from tcli_analyzer.together.arrangement import Choice
from tcli_analyzer.together.page import render_page
from tcli_analyzer.together.results import together_document, together_frame
from tcli_analyzer.workspace import Workspace
from tcli_analyzer.writing import Staged
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
    """Write results.csv, results.json, report.html and recommended/<model>/ into `folder`; all is prepared before older ones go.

    Args:
        analysis: that came to its finals.

    Raises:
        OSError: the folder cannot be written.
    """
    recommendation = analysis.recommendation
    assert recommendation is not None
    texts = {choice.model: _config_text(analysis, choice) for choice in recommendation.chosen.choices}
    models = {}
    with Staged(folder) as staged:
        for choice in recommendation.chosen.choices:
            name = f"recommended/{choice.model}"
            version = None
            if _needs_file(analysis, choice):
                staged.copy_tree(workspaces[choice.model].rewritten / choice.model, name)
                version = folder / name / "1"
            staged.write(f"{name}/config.pbtxt", texts[choice.model])
            changed = not choice.configuration.current
            models[choice.model] = Recommended(folder / name / "config.pbtxt", version, changed)
        staged.write("results.csv", together_frame(analysis).to_csv(index=False))
        _write_json(staged, analysis)
        staged.write("report.html", render_page(analysis, texts))
        staged.finish([f"recommended/{model}" for model in models], ())
    return WrittenTogether(folder / "results.csv", folder / "results.json", folder / "report.html", models)


def write_together_failures(analysis: TogetherAnalysis, folder: Path) -> Path:
    """Write results.json of an analysis that could not measure the models together; what an older run left goes.

    Returns:
        The file.

    Raises:
        OSError: as `write_together`.
    """
    with Staged(folder) as staged:
        _write_json(staged, analysis)
        recommended = [folder / "recommended" / model for model in analysis.options.names]
        staged.finish((), [folder / "results.csv", folder / "report.html", *recommended])
    return folder / "results.json"


def _write_json(staged: Staged, analysis: TogetherAnalysis) -> None:
    staged.write("results.json", json.dumps(together_document(analysis), indent=1, allow_nan=False) + "\n")


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
    comment = "\n".join(wrapped for line in lines for wrapped in textwrap.wrap(line, 110, break_on_hyphens=False))
    return format_config(choice.configuration.config, comment)
