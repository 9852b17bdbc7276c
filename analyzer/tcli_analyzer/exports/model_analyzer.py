"""Model Analyzer's tables of measurements, for the spreadsheets that read them."""

import csv
import io
from collections.abc import Iterable
from contextlib import suppress

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.point import Point
from tcli_analyzer.resources import gpu_handles
from tcli_analyzer.results.samples import Stage, name_of, samples

_KINDS = {
    ModelInstanceGroup.KIND_CPU: "CPU",
    ModelInstanceGroup.KIND_GPU: "GPU",
    ModelInstanceGroup.KIND_MODEL: "MODEL",
}


def inference_table(analysis: Analysis) -> str:
    """`metrics-model-inference.csv`: a row a point, most throughput first."""
    heads = ["Model", "Batch", _load_head(analysis), "Model Config Path", "Instance Group", "Max Batch Size"]
    heads += ["Satisfies Constraints", "Throughput (infer/sec)", "p99 Latency (ms)"]
    rows = []
    for point in _points(analysis):
        model, batch, load, path, groups = _place(point, analysis)
        size = str(point.configuration.max_batch_size)
        values = [_number(point.measured.throughput), _number(point.measured.latency_ms(0.99))]
        rows.append([model, batch, load, path, groups, size, _satisfies(point, analysis), *values])
    return _csv(heads, rows)


def gpu_table(analysis: Analysis) -> str:
    """`metrics-model-gpu.csv`; empty without a GPU. All GPUs are one row: they are measured together."""
    points = [point for point in _points(analysis) if point.measured.gpu]
    if not points:
        return ""
    heads = ["Model", "GPU UUID", "Batch", _load_head(analysis), "Model Config Path", "Instance Group"]
    heads += ["Satisfies Constraints", "GPU Memory Usage (MB)", "GPU Utilization (%)"]
    ids = _gpu_ids()
    rows = []
    for point in points:
        model, *place = _place(point, analysis)
        gpu = point.measured.gpu
        assert gpu is not None
        values = [_number(gpu.memory_mib * 1.048576), _number(gpu.utilisation_percent)]
        rows.append([model, ids, *place, _satisfies(point, analysis), *values])
    return _csv(heads, rows)


def instance_group_text(config: ModelConfig) -> str:
    """Such as "2:CPU", or "1:GPU + 2:CPU"."""
    counts: dict[str, int] = {}
    for group in config.instance_group or [ModelInstanceGroup()]:
        kind = _KINDS.get(group.kind, "CPU")
        counts[kind] = counts.get(kind, 0) + (group.count or 1)
    return " + ".join(f"{count}:{kind}" for kind, count in counts.items())


def _points(analysis: Analysis) -> list[Point]:
    """Of the finals where there are any, else of the search: one of each configuration and load."""
    found: dict[tuple[object, object, int], Point] = {}
    for sample in samples(analysis):
        if sample.stage in (Stage.SEARCH, Stage.FINAL):
            found[sample.point.configuration, sample.point.load, sample.point.items] = sample.point
    return sorted(found.values(), key=lambda point: -point.measured.throughput)


def _place(point: Point, analysis: Analysis) -> tuple[str, str, str, str, str]:
    load = point.load
    model = analysis.options.model
    shown = str(load.concurrency) if isinstance(load, ClosedLoad) else f"{load.rate:g}"
    name = name_of(point.configuration, model)
    return model, str(point.items), shown, name, instance_group_text(point.configuration.config)


def _load_head(analysis: Analysis) -> str:
    return "Concurrency" if all(isinstance(point.load, ClosedLoad) for point in analysis.points) else "Request Rate"


def _satisfies(point: Point, analysis: Analysis) -> str:
    return "Yes" if analysis.options.goal.allows(point.measured) else "No"


def _gpu_ids() -> str:
    import pynvml

    found: list[str] = []
    with suppress(pynvml.NVMLError):
        for handle in gpu_handles():
            identity = pynvml.nvmlDeviceGetUUID(handle)
            found.append(identity.decode() if isinstance(identity, bytes) else str(identity))
    return ";".join(found)


def _number(value: float) -> str:
    return str(round(value, 3))


def _csv(heads: list[str], rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue()
