"""Writes what an analysis found: results, report and a recommended model folder."""

import json
import os
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.configuration import request_shapes
from tcli_analyzer.recommendation import Outcome, Recommendation
from tcli_analyzer.report import render_report
from tcli_analyzer.results import results_document, results_frame
from tcli_analyzer.workspace import Workspace
from tcli_server.hardware.cores import usable_cores
from tcli_server.repository import format_config


@dataclass(frozen=True)
class Written:
    """Where everything is.

    Attributes:
        config: the recommended config.pbtxt.
        model_file: the batchable model file, None if the model was not rewritten.
        recommends_model_file: whether the recommended configuration needs that file; it then lies beside it.
    """

    csv: Path
    json: Path
    report: Path
    config: Path
    model_file: Path | None
    recommends_model_file: bool


def write_output(analysis: Analysis, workspace: Workspace | None, folder: Path) -> Written:
    """Write results.csv, results.json, report.html and recommended/<model>/ into `folder`, replacing older ones.

    A rewritten model file that the recommendation does not need is put into batchable/<model>/ instead.

    Args:
        analysis: with at least one point.
        workspace: that the model was rewritten in; None for one on a server, which is not.

    Raises:
        OSError: the folder cannot be written.
    """
    recommendation = analysis.recommendation
    assert recommendation is not None
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("recommended", "batchable"):
        shutil.rmtree(folder / stale / analysis.options.model, ignore_errors=True)
    config_text = recommended_config(analysis, recommendation)
    csv, document, report = folder / "results.csv", folder / "results.json", folder / "report.html"
    write_atomically(csv, results_frame(analysis).to_csv(index=False))
    write_atomically(document, json.dumps(results_document(analysis), indent=2) + "\n")
    write_atomically(report, render_report(analysis, config_text))
    needs_file = recommendation.chosen.configuration.rewritten_model and _rewritten(analysis)
    model_file = None
    model_folder = folder / "recommended" / analysis.options.model
    if workspace is not None and _rewritten(analysis):
        place = model_folder if needs_file else folder / "batchable" / analysis.options.model
        shutil.copytree(workspace.rewritten / analysis.options.model, place)
        assert analysis.subject.batchable is not None
        model_file = place / "1" / analysis.subject.batchable.path.name
    model_folder.mkdir(parents=True, exist_ok=True)
    write_atomically(model_folder / "config.pbtxt", config_text)
    return Written(csv, document, report, model_folder / "config.pbtxt", model_file, needs_file)


def _rewritten(analysis: Analysis) -> bool:
    return analysis.subject.batchable is not None and bool(analysis.subject.batchable.edits)


def write_atomically(path: Path, text: str) -> None:
    """Write aside, then rename: readers see the old file or the new one, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def recommended_config(analysis: Analysis, recommendation: Recommendation) -> str:
    """The text of the recommended config.pbtxt, with a comment that tells where it comes from."""
    chosen = recommendation.chosen
    proven = recommendation.outcome is not Outcome.UNDECIDED
    verb = (
        "Recommended" if recommendation.may_be_applied else "Kept" if proven else "Kept for now, nothing being decided,"
    )
    lines = [
        f"{verb} by tcli analyze on {analysis.started:%Y-%m-%d %H:%M} for the {analysis.options.goal.describe()}.",
        *([f"Measured: {recommendation.numbers()}."] if proven else []),
        recommendation.comparison(),
        f"Machine: {analysis.machine.sentence()}; ONNX Runtime {analysis.machine.onnxruntime}, "
        f"tcli {analysis.machine.tcli}.",
    ]
    config = chosen.configuration.config
    cpu_only = all(g.kind != ModelInstanceGroup.KIND_GPU for g in config.instance_group)
    if cpu_only and chosen.configuration.instances > 1 and "intra_op_thread_count" not in config.parameters:
        threads = max(1, usable_cores() // chosen.configuration.instances)
        lines.append(
            f"Each instance ran with {threads} thread{'s' if threads != 1 else ''}: tcli divides the cores between the "
            "instances. NVIDIA Triton does not; give it parameters intra_op_thread_count there."
        )
    if analysis.interrupted:
        lines.append("The analysis was stopped before its end.")
    if _rewritten(analysis) and chosen.configuration.rewritten_model:
        lines.append(
            "Needs the batchable model file that lies beside it. Requests now carry a batch dimension: "
            f"{request_shapes(config)}."
        )
    comment = "\n".join(wrapped for line in lines for wrapped in textwrap.wrap(line, 110))
    return format_config(config, comment)
