"""Files written for NVIDIA's Model Analyzer."""

from pathlib import Path

import pytest

from spaces import ONNX_ALONE, TWO_CORES, config
from tcli_analyzer.space import SpaceValues
from tcli_analyzer.space.file import AnalysisFile, YamlFileError, read_analysis_file

DOCUMENTED = """
model_repository: /path/to/model/repository/

run_config_search_disable: True
profile_models:
  model_1:
    perf_analyzer_flags:
      percentile: 95
      latency-report-file: /path/to/latency/report/file
    model_config_parameters:
      max_batch_size: 2
      dynamic_batching:
        max_queue_delay_microseconds: [200, 400]
      instance_group:
        - - kind: KIND_GPU
            count: 1
        - - kind: KIND_CPU
            count: 1
    parameters:
      concurrency:
        start: 2
        stop: 64
        step: 8
      batch_sizes: 1,2,3
  model_2:
    parameters:
      batch_sizes:
        start: 4
        stop: 9
batch_sizes: 5
concurrency:
  - 2
  - 4
triton_server_flags:
  log_verbose: True
"""


def read(tmp_path: Path, text: str) -> AnalysisFile:
    file = tmp_path / "config.yml"
    file.write_text(text)
    return read_analysis_file(file)


def test_the_documented_example(tmp_path):
    found = read(tmp_path, DOCUMENTED)
    assert found.model_repository == (Path("/path/to/model/repository/"),)
    assert found.space_of("model_1") == SpaceValues(
        max_batch_sizes=(2,),
        instances=(1,),
        client_batch_sizes=(1, 2, 3),
        concurrency=(2, 10, 18, 26, 34, 42, 50, 58),
        queue_delays_us=(200, 400),
        providers=("cuda", "cpu"),
        fixed=True,
    )
    assert found.space_of("model_2").client_batch_sizes == (4, 5, 6, 7, 8, 9)
    assert found.space_of("model_2").concurrency == (2, 4)
    assert found.space_of("other").client_batch_sizes == (5,)
    assert found.not_used_sentence == (
        "not used here: profile_models.model_1.perf_analyzer_flags.percentile (all percentiles are measured; --slo says which "
        "one counts), profile_models.model_1.perf_analyzer_flags.latency-report-file (every measurement is in results.csv with "
        "all columns), triton_server_flags (no server is started)"
    )
    assert [one.line for one in found.not_used] == [8, 9, 34]


def test_goals_and_search(tmp_path):
    found = read(
        tmp_path,
        """
profile_models: a, b
run_config_search_mode: quick
run_config_search_max_instance_count: 3
run_config_search_min_model_batch_size: 2
run_config_search_max_model_batch_size: 16
run_config_search_max_concurrency: 8
objectives: {perf_latency_p99: 3, perf_throughput: 2, gpu_used_memory: 9}
constraints:
  perf_latency_p99: {max: 100}
  gpu_used_memory: {max: 200}
export_path: out
perf_analyzer_flags:
  shape: INPUT0:3,4
  input-data: ./data.json
  request-distribution: constant
min_throughput: 5
""",
    )
    assert [one.name for one in found.models] == ["a", "b"]
    assert (found.search, found.objective, found.latency_budget) == ("quick", "latency", 100.0)
    assert (found.output, found.shape, found.input, found.arrivals) == (
        Path("out"),
        {"INPUT0": (3, 4)},
        ("./data.json",),
        "constant",
    )
    assert found.space == SpaceValues(max_batch_sizes=(2, 4, 8, 16), instances=(1, 2, 3), concurrency=(1, 2, 4, 8))
    assert {one.field for one in found.not_used} == {
        *("objectives.perf_throughput", "objectives.gpu_used_memory", "constraints.gpu_used_memory", "min_throughput"),
    }


def test_a_models_own_distribution_is_named_as_it_is_of_all_models(tmp_path):
    flags = "perf_analyzer_flags: {request-distribution: constant, shape: 'INPUT0:3'}"
    found = read(tmp_path, f"profile_models:\n  a:\n    {flags}\n")
    assert (found.arrivals, found.models[0].shape) == (None, {"INPUT0": (3,)})
    field = "profile_models.a.perf_analyzer_flags.request-distribution"
    assert found.not_used_sentence == f"not used here: {field} (it is for all models; write it at the top)"


def test_values_go_before_ranges(tmp_path):
    found = read(tmp_path, "profile_models: a\nrun_config_search_max_concurrency: 8\nconcurrency: 3\n")
    assert found.space.concurrency == (3,)


def test_a_server_counts_only_where_it_is_there_already(tmp_path):
    text = "profile_models: a\ntriton_grpc_endpoint: host:9001\ntriton_http_endpoint: host:9000\n"
    started = read(tmp_path, text)
    assert started.url is None
    assert len(started.not_used) == 2
    remote = read(tmp_path, text + "triton_launch_mode: remote\nreload_model_disable: true\n")
    assert (remote.url, remote.protocol, remote.as_is) == ("host:9001", "grpc", True)
    assert [one.field for one in remote.not_used] == ["triton_http_endpoint"]
    http = read(tmp_path, "profile_models: a\ntriton_launch_mode: remote\nclient_protocol: http\n")
    assert (http.url, http.protocol) == ("localhost:8000", "http")


def test_rates(tmp_path):
    found = read(tmp_path, "profile_models: a\nrequest_rate_search_enable: true\n")
    assert found.space.request_rates == (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    assert read(tmp_path, "profile_models: a\nrequest_rate: [10, 20]\n").space.request_rates == (10.0, 20.0)


def test_a_models_configuration(tmp_path):
    found = read(
        tmp_path,
        """
profile_models:
  - a:
      weighting: 3
      cpu_only: true
      model_config_parameters:
        dynamic_batching:
          preferred_batch_size: [4, 8]
          preserve_ordering: [true]
        parameters:
          intra_op_thread_count: {string_value: [1, 2]}
          execution_mode: {string_value: 1}
        optimization:
          graph: {level: [1, 2]}
          execution_accelerators:
            gpu_execution_accelerator:
              - name: tensorrt
                parameters: {precision_mode: FP16, max_workspace_size_bytes: 1}
        version_policy: all
  - b
""",
    )
    first, second = found.models
    assert (first.name, first.weight, second.name) == ("a", 3.0, "b")
    assert first.space == SpaceValues(
        max_batch_sizes=(),
        instances=(),
        preferred_batch_sizes=((4, 8),),
        threads=(1, 2),
        providers=("tensorrt",),
        precisions=("f16",),
        graph_levels=(1, 2),
        fixed=True,
    )
    assert [one.field.removeprefix("profile_models.a.model_config_parameters.") for one in found.not_used] == [
        "dynamic_batching.preserve_ordering",
        "parameters.execution_mode",
        "optimization.execution_accelerators.gpu_execution_accelerator.parameters.max_workspace_size_bytes",
        "version_policy",
    ]


def test_fields_that_nobody_knows_are_named(tmp_path):
    found = read(tmp_path, "profile_models: a\nexport_pth: x\nfrob: 1\n")
    assert found.not_used_sentence == (
        "not used here: export_pth (not a field that is known here; did you mean export_path?), "
        "frob (not a field that is known here)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profile_models: a\nconcurrency: many\n", "2: concurrency: found 'many', expected whole numbers from 1"),
        ("profile_models: [a, a]\n", "1: profile_models: found 'a' again, expected each model once"),
        ("profile_models: {a: 3}\n", "1: profile_models.a: found '3', expected what to try with the model"),
        ("profile_models: a\nrun_config_search_mode: slow\n", "2: run_config_search_mode: found 'slow', expected brute, quick or optuna"),
        ("run_config_search_min_concurrency: 8\nrun_config_search_max_concurrency: 4\n", "2: run_config_search_max_concurrency: found '4', expected a largest value that is not below the smallest, 8"),
        ("profile_models: {a: {parameters: {concurrency: [1, 0]}}}\n", "1: profile_models.a.parameters.concurrency: found '0'"),
        ("profile_models: a\nprofile_models: b\n", "2: profile_models: found 'profile_models' again"),
        ("profile_models: {a: {parameters: 5}}\n", "1: profile_models.a.parameters: found '5', expected keys and values"),
        ("profile_models: {a: {model_config_parameters: [5]}}\n", "1: profile_models.a.model_config_parameters: found a list, expected keys and values"),
        ("profile_models: a\nperf_analyzer_flags: 5\n", "2: perf_analyzer_flags: found '5', expected keys and values"),
        ("profile_models: a\nconstraints: 5\n", "2: constraints: found '5', expected keys and values"),
        ("profile_models: {a: {model_config_parameters: {instance_group: {kind: KIND_X}}}}\n", "1: profile_models.a.model_config_parameters.instance_group.kind: found 'KIND_X'"),
    ],
)  # fmt: skip
def test_mistakes_have_line_and_field(tmp_path, text: str, message: str):
    with pytest.raises(YamlFileError) as error:
        read(tmp_path, text)
    assert f"config.yml:{message}" in str(error.value)


def test_a_models_own_parameters_end_the_search_of_what_they_do_not_name(tmp_path):
    text = "run_config_search_max_model_batch_size: 4\nprofile_models: {a: {model_config_parameters: {max_batch_size: 2}}, b: }\n"
    text += "run_config_search_max_instance_count: 2\n"
    found = read(tmp_path, text)
    spaces = [found.space_of(name).space(TWO_CORES, config(), ONNX_ALONE, True) for name in "ab"]
    assert [(one.max_batch_sizes, one.instances) for one in spaces] == [((2,), (1,)), ((1, 2, 4), (1, 2))]
