"""What other programs read: histograms, Model Analyzer's tables and variants, Parquet."""

import builtins
import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from measured_points import point
from tcli_analyzer.analysis import Analysis
from tcli_analyzer.exports.histogram import write_histogram
from tcli_analyzer.exports.model_analyzer import gpu_table, inference_table, instance_group_text
from tcli_analyzer.exports.parquet import ParquetMissingError, check_parquet, windows_parquet
from tcli_analyzer.exports.variants import variant_configs
from tcli_analyzer.goal import Goal
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.resources import GpuUse
from tcli_server.repository import read_config
from told_analyses import config, told


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return told(tmp_path_factory.mktemp("told"), goal=Goal(latency_budget_ms=300))


LINE = re.compile(r"^ +([\d.]+) +([\d.]+) +(\d+)(?: +([\d.]+))?$")


@pytest.mark.parametrize("count", [1, 2, 100, 5000])
def test_a_histogram_has_the_percentiles_of_the_latencies(count):
    latencies = np.random.default_rng(count).gamma(2, 10, count)
    text = write_histogram(latencies)
    rows = [found.groups() for line in text.splitlines() if (found := LINE.match(line))]
    ordered = np.sort(latencies)
    for value, share, total, inverse in rows:
        reached = int((ordered <= float(value) + 0.0006).sum())
        assert reached >= int(total) >= float(share) * count - 1e-6
        if inverse is not None:
            assert float(inverse) == pytest.approx(1 / (1 - float(share)), rel=0.01, abs=0.01)
    shares = [float(row[1]) for row in rows]
    assert shares == sorted(shares)
    assert float(rows[-1][0]) == pytest.approx(ordered[-1], abs=0.001)
    assert rows[-1][1:] == ("1.000000000000", str(count), None)
    assert f"Total count    = {count:12d}]" in text
    assert text.splitlines()[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]


def test_model_analyzers_table_has_its_columns_and_the_finals_numbers(analysis):
    rows = list(csv.DictReader(io.StringIO(inference_table(analysis))))
    assert list(rows[0]) == [
        "Model",
        "Batch",
        "Concurrency",
        "Model Config Path",
        "Instance Group",
        "Max Batch Size",
        "Satisfies Constraints",
        "Throughput (infer/sec)",
        "p99 Latency (ms)",
    ]
    rates = [float(row["Throughput (infer/sec)"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    (best,) = [row for row in rows if (row["Model Config Path"], row["Concurrency"]) == ("net_config_4", "16")]
    final = next(one for one in analysis.finals.points if one.configuration.name == "net_config_4")
    assert float(best["Throughput (infer/sec)"]) == pytest.approx(final.measured.throughput, abs=0.001)
    assert (best["Model"], best["Instance Group"], best["Satisfies Constraints"]) == ("net", "1:CPU", "Yes")
    assert {row["Satisfies Constraints"] for row in rows} == {"Yes", "No"}
    assert gpu_table(analysis) == ""


def test_gpus_have_a_table_of_their_own(analysis):
    one = point(1, 1, [100.0])
    (window,) = one.windows.windows
    on_gpu = replace(one, windows=Windows((replace(window, gpu=GpuUse(50.0, 1000.0)),)))
    text = gpu_table(replace(analysis, points=[on_gpu], finals=None, rates={}))
    (row,) = csv.DictReader(io.StringIO(text))
    assert float(row["GPU Memory Usage (MB)"]) == pytest.approx(1048.576)
    assert float(row["GPU Utilization (%)"]) == 50
    assert "GPU UUID" in row


def test_instance_groups_are_counted_by_kind():
    made = config(0, 2)
    made.instance_group.add(count=3, kind=2)
    made.instance_group.add(kind=1)
    assert instance_group_text(made) == "5:CPU + 1:GPU"


def test_variants_say_what_became_of_them_and_can_be_read(analysis, tmp_path: Path):
    texts = variant_configs(analysis)
    assert {"net_config_default", "net_defaults", "net_config_4", "net_config_8", "net_config_30"} <= texts.keys()
    for text in texts.values():
        assert "name:" not in re.sub(r"#.*", "", text)
        (tmp_path / "config.pbtxt").write_text(text)
        assert read_config(tmp_path / "config.pbtxt").max_batch_size >= 0
    assert "Finals: " in texts["net_config_4"]
    assert "Cannot win: its largest difference is 3.1 %" in texts["net_config_8"].replace("\n# ", " ")
    assert "Failed: openvino does not know the operator 'Foo'" in texts["net_config_30"]


def test_parquet_has_every_request(analysis, tmp_path: Path):
    path = tmp_path / "results.parquet"
    path.write_bytes(windows_parquet(analysis))
    frame = pd.read_parquet(path)
    assert [len(latencies) for latencies in frame["latencies_ms"]] == frame["requests"].tolist()
    assert {"stage", "name", "began", "clean", "why_not"} <= set(frame.columns)


def test_parquet_without_its_library_is_said_before_anything_is_measured(monkeypatch):
    usual = builtins.__import__

    def without(name: str, *arguments: object, **more: object) -> object:
        if name == "pyarrow":
            raise ImportError(name)
        return usual(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParquetMissingError, match=r"tcli\[parquet\]"):
        check_parquet()
