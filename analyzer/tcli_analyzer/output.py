"""Writes what an analysis found: results, report, variants, and a recommended model folder."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.configuration import request_shapes
from tcli_analyzer.exports.histogram import write_histogram
from tcli_analyzer.exports.model_analyzer import gpu_table, inference_table
from tcli_analyzer.exports.parquet import windows_parquet
from tcli_analyzer.exports.variants import variant_configs
from tcli_analyzer.machine import engine_version
from tcli_analyzer.recommendation import Outcome, Recommendation
from tcli_analyzer.report import CHARTS, pictures, render_markdown, render_report
from tcli_analyzer.results import points_frame, results_document
from tcli_analyzer.results.samples import name_of
from tcli_analyzer.space.settings import engine_of
from tcli_analyzer.workspace import Workspace
from tcli_analyzer.writing import Staged, write_atomically
from tcli_server.hardware.cores import usable_cores
from tcli_server.repository import format_config

__all__ = ["Wanted", "Written", "recommended_config", "write_atomically", "write_failures", "write_output"]

_PLOTS, _LATENCY, _VARIANTS, _TABLES = "plots", "latency", "variants", "results"
"""Folders: pictures, histograms of the finalists, configurations, Model Analyzer's tables."""

_INFERENCE, _GPU = f"{_TABLES}/metrics-model-inference.csv", f"{_TABLES}/metrics-model-gpu.csv"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is written beside what always is."""

    png: bool = False
    markdown: bool = False
    parquet: bool = False


@dataclass(frozen=True)
class Written:
    """Where everything is.

    Attributes:
        config: the recommended config.pbtxt.
        model_file: the batchable model file, None if the model was not rewritten.
        recommends_model_file: whether the recommended configuration needs that file; it then lies beside it.
        variants: the folder with the configurations that were tried.
        others: what was asked for beside: pictures, Markdown, Parquet.
    """

    csv: Path
    json: Path
    report: Path
    config: Path
    model_file: Path | None
    recommends_model_file: bool
    variants: Path
    others: tuple[Path, ...] = ()


def write_output(
    analysis: Analysis, workspace: Workspace | None, folder: Path, wanted: Wanted | None = None
) -> Written:
    """Write results, report, variants and recommended/<model>/ into `folder`; what is there of an older run goes.

    All is prepared before anything is replaced. A rewritten model file that the recommendation does not need is put into
    batchable/<model>/ instead.

    Args:
        analysis: with at least one point.
        workspace: that the model was rewritten in; None for one on a server, which is not.

    Raises:
        OSError: the folder cannot be written; an older run's files are still there.
        ParquetMissingError: Parquet is wanted, and cannot be written here.
    """
    wanted = wanted or Wanted()
    recommendation = analysis.recommendation
    assert recommendation is not None
    model = analysis.options.model
    needs_file = recommendation.chosen.configuration.rewritten_model and _rewritten(analysis)
    recommended, batchable = f"recommended/{model}", f"batchable/{model}"
    place = recommended if needs_file else batchable
    config_text = recommended_config(analysis, recommendation)
    has_file = workspace is not None and _rewritten(analysis)
    with Staged(folder) as staged:
        if workspace is not None and has_file:
            staged.copy_tree(workspace.rewritten / model, place)
        staged.write(f"{recommended}/config.pbtxt", config_text)
        staged.write("results.csv", points_frame(analysis).to_csv(index=False))
        _write_json(staged, analysis)
        staged.write("report.html", render_report(analysis, config_text))
        for name, text in variant_configs(analysis).items():
            staged.write(f"{_VARIANTS}/{name}/config.pbtxt", text)
        _write_tables(staged, analysis)
        others = _write_others(staged, analysis, config_text, wanted)
        staged.finish((recommended, batchable), _older(folder, model))
    model_file = None
    if has_file:
        assert analysis.subject.batchable is not None
        model_file = folder / place / "1" / analysis.subject.batchable.path.name
    return Written(
        folder / "results.csv",
        folder / "results.json",
        folder / "report.html",
        folder / recommended / "config.pbtxt",
        model_file,
        needs_file,
        folder / _VARIANTS,
        tuple(folder / name for name in others),
    )


def write_failures(analysis: Analysis, folder: Path) -> Path:
    """Write results.json of an analysis that could measure nothing; what an older run left goes.

    Returns:
        The file.

    Raises:
        OSError: as `write_output`.
    """
    with Staged(folder) as staged:
        _write_json(staged, analysis)
        whole = [folder / name for name in ("results.csv", "report.html", _INFERENCE)]
        staged.finish((), [*whole, *_older(folder, analysis.options.model)])
    return folder / "results.json"


def _write_json(staged: Staged, analysis: Analysis) -> None:
    staged.write("results.json", json.dumps(results_document(analysis), indent=1, allow_nan=False) + "\n")


def _write_tables(staged: Staged, analysis: Analysis) -> None:
    staged.write(_INFERENCE, inference_table(analysis))
    on_gpu = gpu_table(analysis)
    if on_gpu:
        staged.write(_GPU, on_gpu)
    for point in analysis.finals.points if analysis.finals is not None else ():
        if point.measured.requests:
            name = name_of(point.configuration, analysis.options.model)
            staged.write(f"{_LATENCY}/{name}.hgrm", write_histogram(point.measured.latencies_ms))


def _write_others(staged: Staged, analysis: Analysis, config_text: str, wanted: Wanted) -> list[str]:
    written = []
    places: dict[str, str] = {}
    if wanted.png:
        for name, content in pictures(analysis).items():
            places[name] = f"{_PLOTS}/{name}.png"
            staged.write(places[name], content)
        written.append(_PLOTS)
    if wanted.markdown:
        staged.write("report.md", render_markdown(analysis, config_text, places))
        written.append("report.md")
    if wanted.parquet:
        staged.write("results.parquet", windows_parquet(analysis))
        written.append("results.parquet")
    return written


def _older(folder: Path, model: str) -> list[Path]:
    """Everything that an older run of this model may have left here; nobody else's files."""
    named = [folder / name for name in ("report.md", "results.parquet", _GPU)]
    named += [folder / "recommended" / model, folder / "batchable" / model]
    named += [folder / _PLOTS / f"{name}.png" for name in CHARTS]
    names = [f"{_glob(model)}_config_*", f"{_glob(model)}_defaults"]
    histograms = [path for name in names for path in folder.glob(f"{_LATENCY}/{name}.hgrm")]
    variants = [path for name in names for path in folder.glob(f"{_VARIANTS}/{name}/config.pbtxt")]
    return [*named, *histograms, *variants]


def _glob(text: str) -> str:
    """A name in a pattern, as it is."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _rewritten(analysis: Analysis) -> bool:
    return analysis.subject.batchable is not None and bool(analysis.subject.batchable.edits)


def _software(analysis: Analysis, config: ModelConfig) -> str:
    """The versions that the numbers are of, where they ran on this machine's."""
    if analysis.options.server is not None:
        return ""
    return ", ".join(filter(None, (engine_version(engine_of(config)), f"tcli {analysis.machine.tcli}")))


def recommended_config(analysis: Analysis, recommendation: Recommendation) -> str:
    """The text of the recommended config.pbtxt, with a comment that tells where it comes from."""
    chosen = recommendation.chosen
    config = chosen.configuration.config
    proven = recommendation.outcome is not Outcome.UNDECIDED
    verb = (
        "Recommended" if recommendation.may_be_applied else "Kept" if proven else "Kept for now, nothing being decided,"
    )
    lines = [
        f"{verb} by tcli analyze on {analysis.started:%Y-%m-%d %H:%M} for the {analysis.options.goal.describe()}.",
        *([f"Measured: {recommendation.numbers()}."] if proven else []),
        recommendation.comparison(),
        f"Machine: {'; '.join(filter(None, (analysis.machine.sentence(), _software(analysis, config))))}.",
    ]
    cpu_only = all(g.kind != ModelInstanceGroup.KIND_GPU for g in config.instance_group)
    is_onnx = engine_of(config) == "onnxruntime"
    if is_onnx and cpu_only and chosen.configuration.instances > 1 and "intra_op_thread_count" not in config.parameters:
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
    comment = "\n".join(wrapped for line in lines for wrapped in textwrap.wrap(line, 110, break_on_hyphens=False))
    return format_config(config, comment)
