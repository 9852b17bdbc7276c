"""The file of `tcli analyze --config`: what it says, and what is said of mistakes."""

import time
from dataclasses import fields
from pathlib import Path

import pytest

from tcli_analyzer.space import SpaceValues
from tcli_analyzer.space.file import AnalysisFile, ModelEntry, YamlFileError, read_analysis_file

EVERYTHING = """
# what to analyze
models:
  - densenet_onnx
  - name: efficientnet_lite0
    weight: 2
    latency_budget: 20
    space: {batch_sizes: "1,8"}
    shape: {image: [3, 224, 224]}
model-repository: [./models, ~/more]
objective: latency
latency_budget: 50
slo: p99<=50ms
tolerance: 0.01
tie: 3.5
max_time: 5m
search: grid
seed: 3
arrivals: recorded.txt
arrivals_speed: [0.5, 2]
arrivals_window: 0-60
shape: ["INPUT0:16", "INPUT:1:2,3"]
input: ./photos
url: localhost:8001
protocol: grpc
as_is: true
measurement_interval: 250
memory_limit: 4096
output: out
png: false
markdown: true
parquet: true
space:
  batch_sizes: [1, 2, 4]
  instance_counts: {start: 1, stop: 5, step: 2}
  client_batch_sizes: 1
  concurrency: 1,2
  request_rates: [10, 20.5]
  queue_delays: [0, 1ms, 500us]
  preferred_batch_sizes: [[4], [4, 8], []]
  threads: [auto, 1]
  engines: [onnxruntime, openvino]
  providers: cpu
  precisions: f32, bf16
  graph_levels: [all, basic]
"""

KEYS = (
    "models, model_repository, objective, latency_budget, slo, tolerance, tie, max_time, search, seed, arrivals, arrivals_speed, "
    "arrivals_window, shape, input, url, protocol, as_is, measurement_interval, memory_limit, output, png, markdown, parquet, "
    "space, model"
)
"""That a file may have."""


def read(tmp_path: Path, text: str | bytes) -> AnalysisFile:
    file = tmp_path / "analysis.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_analysis_file(file)


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(YamlFileError) as error:
        read(tmp_path, text)
    lines = str(error.value).splitlines()
    assert all(line.startswith(str(tmp_path / "analysis.yaml")) for line in lines)
    return [line.removeprefix(str(tmp_path / "analysis.yaml")).removeprefix(":") for line in lines]


def test_every_field_is_read(tmp_path):
    found = read(tmp_path, EVERYTHING)
    space = SpaceValues(
        (1, 2, 4), (1, 3, 5), (1,), (1, 2), (10.0, 20.5), (0, 1000, 500), ((4,), (4, 8), ()), (0, 1),
        ("onnxruntime", "openvino"), ("cpu",), ("f32", "bf16"), (0, -1),
    )  # fmt: skip
    second = ModelEntry(
        "efficientnet_lite0", 2.0, SpaceValues(max_batch_sizes=(1, 8)), {"image": (3, 224, 224)}, latency_budget=20.0
    )
    assert found == AnalysisFile(
        tmp_path / "analysis.yaml",
        (ModelEntry("densenet_onnx"), second),
        (Path("models"), Path("~/more").expanduser()),
        "latency",
        50.0,
        "p99<=50ms",
        0.01,
        3.5,
        300.0,
        "grid",
        3,
        "recorded.txt",
        ("0.5", "2"),
        "0-60",
        {"INPUT0": (16,), "INPUT:1": (2, 3)},
        ("./photos",),
        "localhost:8001",
        "grpc",
        True,
        250.0,
        4096,
        Path("out"),
        False,
        True,
        True,
        space,
        (),
        found.lines,
    )
    assert found.space_of("efficientnet_lite0").max_batch_sizes == (1, 8)
    assert found.space_of("efficientnet_lite0").threads == (0, 1)
    assert found.space_of("densenet_onnx") == space
    assert found.place("slo") == f"{tmp_path / 'analysis.yaml'}:13: slo"
    assert found.not_used_sentence == ""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("model: a", ["a"]),
        ("models: a", ["a"]),
        ("models: {a: , b: {weight: 2}}", ["a", "b"]),
        ('{"models": ["a", "on"]}', ["a", "on"]),
        ("models: [007]", ["007"]),
        ("\ufeffmodels: [a]", ["a"]),
        ("models:\r\n- a\r\n", ["a"]),
    ],
)
def test_models_in_all_their_forms(tmp_path, text: str, names: list[str]):
    assert [one.name for one in read(tmp_path, text).models] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "modles: a",
            f"1: modles: found 'modles', expected one of {KEYS}; fix: did you mean 'models'?",
        ),
        ("objective: thoughput", "1: objective: found 'thoughput', expected throughput or latency; fix: did you mean 'throughput'?"),
        ("latency_budget: -3", "1: latency_budget: found '-3', expected milliseconds above 0; fix: write latency_budget: 50"),
        ("latency_budget: [3]", "1: latency_budget: found a list, expected milliseconds above 0; fix: write latency_budget: 50"),
        ("latency_budget:", "1: latency_budget: found nothing, expected milliseconds above 0; fix: write latency_budget: 50"),
        ("latency_budget: .nan", "1: latency_budget: found '.nan', expected milliseconds above 0; fix: write latency_budget: 50"),
        ("max_time: soon", "1: max_time: found 'soon', expected seconds, or a time such as 90s, 5m or 1h; fix: write max_time: 5m"),
        ("slo: ~", "1: slo: found nothing, expected a limit such as p99<=50ms; fix: write slo: p99<=50ms"),
        ("output: ~nobody-here/x", "1: output: found '~nobody-here/x', expected a path; fix: write the home folder out"),
        ("as_is: maybe", "1: as_is: found 'maybe', expected true or false; fix: write as_is: true"),
        ("tie: 0", "1: tie: found '0', expected a percentage above 0 and below 100; fix: write tie: 2"),
        ("tie: 200", "1: tie: found '200', expected a percentage above 0 and below 100; fix: write tie: 2"),
        ("slo: p99<=50", "1: slo: found 'p99<=50' (the unit is missing), expected a limit such as p99<=50ms; fix: write slo: p99<=50ms"),
        ("measurement_interval: 0", "1: measurement_interval: found '0', expected milliseconds above 0; fix: write measurement_interval: 500"),
        ("memory_limit: 1.5", "1: memory_limit: found '1.5', expected a whole number of MiB, at least 1; fix: write memory_limit: 4096"),
        ("arrivals_speed: []", "1: arrivals_speed: found a list, expected numbers above 0; fix: write arrivals_speed: [1, 2]"),
        ("seed: 1.5", "1: seed: found '1.5', expected a whole number; fix: write seed: 0"),
        ("\nbatch_sizes: 1", "2: batch_sizes: found 'batch_sizes', expected it in another place; fix: move it below space: (space:, then batch_sizes: indented)"),
        ("models: a\nobjectives: [perf_throughput]", f"2: objectives: found 'objectives', expected one of {KEYS}; fix: did you mean 'objective'?"),
        ("space: {threads: 1}\nprofile_models: a", "2: profile_models: found 'profile_models', expected it in another place; fix: a file is of one kind: this is a field of Model Analyzer's, and others here are of tcli's own"),
        ("apply: true", "1: apply: found 'apply', expected it in another place; fix: say it on the command line: --apply is for one run"),
        ("slo: p99<=5ms\nslo: p99<=6ms", "2: slo: found 'slo' again, expected it once (line 1 has it); fix: remove one of them"),
        ("as_is: true\nas-is: true", "2: as-is: found 'as-is' again, expected it once (line 1 has it); fix: remove one of them"),
        ("[1]: 2", "1: found a list, expected a word as a key; fix: write 'key: value'"),
        ("space: 4", "1: space: found '4', expected keys and values; fix: indent lines 'key: value' below it"),
        ("space:\n  threads:\n  - 1\n  - two", "4: space.threads: found 'two', expected whole numbers of threads, or auto for the share of the cores, such as auto,1,2; fix: write threads: [auto,1,2]"),
        ("space: {precisions: bf61}", "1: space.precisions: found 'bf61', expected f32, bf16, f16, or auto for the engine's own choice, such as f32,bf16; fix: did you mean bf16?"),
        ("space: {batch_sizes: []}", "1: space.batch_sizes: found no value, expected whole numbers from 1 to 1,000,000, such as 1,2,4,8; fix: write batch_sizes: [1,2,4,8]"),
        ("space: {threads: {start: 4, stop: 2}}", "1: space.threads: found keys and values, expected start, and stop that is not below it; fix: write threads: {start: 1, stop: 8}"),
        ("space: {threads: {start: 1, stop: 99999}}", "1: space.threads: found 99,999 values, expected at most 1,000; fix: give a larger step"),
        ("models: []", "1: models: found an empty list, expected names of models; fix: write models: [densenet_onnx]"),
        ("models: [a, a]", "1: models[1]: found 'a' again, expected each model once; fix: remove it"),
        ("models:\n- weight: 2", "2: models[0].name: found no name, expected the name of a model, or name: with more below it; fix: add name: densenet_onnx"),
        ("model: a\nmodels: b", "1: model: found both model and models, expected one of them; fix: remove one"),
        ("shape: {x: [1, -1]}", "1: shape.x: found '1, -1', expected sizes, such as [224, 224, 3]; fix: write whole numbers of at least 1"),
        ("shape: x", "1: shape: found 'x', expected NAME:D1,D2, such as INPUT0:224,224,3; fix: write shape: {INPUT0: [224, 224, 3]}"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_line_and_field_and_fix(tmp_path, text: str, message: str):
    assert problems(tmp_path, text) == [message]


def test_all_mistakes_are_told_at_once(tmp_path):
    found = problems(tmp_path, "objectiv: x\nspace:\n  thread: 1\n  engines: [1, ok]\nmax_time: 0\n")
    assert [line.partition(": found")[0] for line in found] == [
        *("1: objectiv", "3: space.thread", "4: space.engines", "5: max_time"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("# nothing\n", "found an empty file"),
        ("just text", "1: found only text, 'just text'"),
        ("- a\n- b", "1: found a list"),
        ("models: [a]\n\tslo: p", "2: found a tab, expected spaces: YAML has no tabs before a value; fix: replace it by spaces"),
        ("models [a]\nslo: p", "2: found no YAML (mapping values are not allowed here)"),
        ("models: [a", "1: found no YAML"),
        ('models: "a', "1: found no YAML"),
        ("a: 1\n---\nb: 2", "2: found a second document (---)"),
        ("a: &x [1]\nb: *x", "2: found an alias (*x), expected plain keys and values; fix: write the values out"),
        ("models: !!python/object/apply:os.system [ls]", "1: found a tag (tag:yaml.org,2002:python/object/apply:os.system)"),
        ("a: " + "[" * 5000, "1: found more than 24 levels"),
        ("a:\n" + "- 1\n" * 30000, "19999: found more than 20,000 values"),
        ("#" * 300_000, "found more than 256 KiB"),
        (b"models: [a]\nslo: \xff\xfe", "2: found byte 0xff, which is no UTF-8 text"),
        (b"\x7fELF\x02\x01\x00\x00", "1: found "),
        ("models: [a]\nslo: \x00", "2: found "),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused_quickly(tmp_path, text: str | bytes, message: str):
    start = time.perf_counter()
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith((message, f" {message}")), found
    assert time.perf_counter() - start < 20


def test_the_documented_file_is_read(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "analyzer_config.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    found = read(tmp_path, text)
    assert [one.name for one in found.models] == ["densenet_onnx", "efficientnet_lite0"]
    assert found.space.queue_delays_us == (0, 1000)
    said = {line.split(":")[0].strip() for line in text.splitlines() if line[:1].isalpha()}
    left_out = {"lines", "path", "not_used"}
    assert said == {field.name for field in fields(found)} - left_out


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(YamlFileError, match="found No such file or directory, expected a file that can be read"):
        read_analysis_file(tmp_path / "none.yaml")
    with pytest.raises(YamlFileError, match="found Is a directory"):
        read_analysis_file(tmp_path)
