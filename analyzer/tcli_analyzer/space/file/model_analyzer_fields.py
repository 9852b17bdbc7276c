"""Which fields Model Analyzer's files have, and why some of them mean nothing here."""

import difflib

LIMITS = {
    "model_batch_size": ("max_batch_sizes", 1, 128, True),
    "instance_count": ("instances", 1, 5, False),
    "concurrency": ("concurrency", 1, 1024, True),
    "request_rate": ("request_rates", 16, 8192, True),
}
"""Of the automatic search: the dimension here, Model Analyzer's smallest and largest value, and whether it doubles."""

USED = frozenset(
    (
        "model_repository",
        "profile_models",
        "batch_sizes",
        "concurrency",
        "request_rate",
        "client_protocol",
        "triton_launch_mode",
        "triton_http_endpoint",
        "triton_grpc_endpoint",
        "reload_model_disable",
        "run_config_search_mode",
        "run_config_search_disable",
        "request_rate_search_enable",
        "objectives",
        "constraints",
        "latency_budget",
        "export_path",
        "perf_analyzer_flags",
        *(f"run_config_search_{end}_{key}" for end in ("min", "max") for key in LIMITS),
    )
)

_NO_SERVER = "no server is started"
_NO_PERF = "perf_analyzer is not used"
_WINDOWS = "windows repeat until they are clean"
_REPORT = "the report is one page with everything"
_TABLES = "every measurement is in results.csv with all columns"
_JOURNAL = "every measurement is kept in the output folder, see --resume"

UNUSED = {
    "checkpoint_directory": _JOURNAL,
    "always_report_gpu_metrics": "GPUs are always measured where there are some",
    "collect_cpu_metrics": "always collected",
    "client_max_retries": "what fails is a result with its reason",
    "config_file": "this is the file",
    "cpu_only": "write it below a model",
    "duration_seconds": _WINDOWS,
    "monitoring_interval": _WINDOWS,
    "min_throughput": "the constraint here is latency_budget, or --slo for a rate",
    "weighting": "write it below a model",
    "num_configs_per_model": "the leaders are those that can still be best",
    "num_top_model_configs": "the leaders are those that can still be best",
    "output_model_repository_path": "variants are written to the output folder",
    "override_output_model_repository": "a later run replaces the output folder's files",
    "run_config_profile_models_concurrently_enable": "several models are always found a common answer",
    "bls_composing_models": "the models of a repository are there by themselves",
    "cpu_only_composing_models": "the models of a repository are there by themselves",
    "ensemble_composing_models": "the models of a repository are there by themselves",
    "optuna_min_trials": "the search ends when nothing unmeasured can be better, or with --max-time",
    "optuna_max_trials": "the search ends when nothing unmeasured can be better, or with --max-time",
    "optuna_early_exit_threshold": "the search ends when nothing unmeasured can be better, or with --max-time",
    "min_percentage_of_search_space": "the search ends when nothing unmeasured can be better, or with --max-time",
    "max_percentage_of_search_space": "the search ends when nothing unmeasured can be better, or with --max-time",
    "use_concurrency_formula": "concurrency is searched",
    "concurrency_sweep_disable": "concurrency is searched",
    "skip_summary_reports": _REPORT,
    "skip_detailed_reports": _REPORT,
    "report_model_configs": _REPORT,
    "plots": _REPORT,
    "output_formats": _REPORT,
    "filename_model_inference": _TABLES,
    "filename_model_gpu": _TABLES,
    "filename_server_only": _TABLES,
    "inference_output_fields": _TABLES,
    "gpu_output_fields": _TABLES,
    "server_output_fields": _TABLES,
    "gpus": "CUDA_VISIBLE_DEVICES chooses GPUs",
    "dcgm_disable": "NVML is asked, not DCGM",
    "genai_perf_flags": _NO_PERF,
    "model_type": "the model's configuration tells",
    "mode": "online and offline are one analysis here",
    "perf_analyzer_path": _NO_PERF,
    "perf_analyzer_timeout": _NO_PERF,
    "perf_analyzer_cpu_util": _NO_PERF,
    "perf_analyzer_max_auto_adjusts": _WINDOWS,
    "perf_output": _NO_PERF,
    "perf_output_path": _NO_PERF,
    "triton_metrics_url": "metrics are not asked of the server",
    "triton_server_flags": _NO_SERVER,
    "triton_server_environment": _NO_SERVER,
    "triton_server_path": _NO_SERVER,
    "triton_output_path": _NO_SERVER,
    "triton_install_path": _NO_SERVER,
    "triton_docker_image": _NO_SERVER,
    "triton_docker_labels": _NO_SERVER,
    "triton_docker_args": _NO_SERVER,
    "triton_docker_mounts": _NO_SERVER,
    "triton_docker_shm_size": _NO_SERVER,
}

UNUSED_FLAGS = {
    "percentile": "all percentiles are measured; --slo says which one counts",
    "measurement-interval": _WINDOWS,
    "measurement-mode": _WINDOWS,
    "measurement-request-count": _WINDOWS,
    "stability-percentage": _WINDOWS,
    "max-trials": _WINDOWS,
    "latency-report-file": _TABLES,
    "concurrency-range": "write parameters: concurrency",
    "request-rate-range": "write parameters: request_rate",
    "batch-size": "write parameters: batch_sizes",
    "streaming": "requests have one answer each",
    "string-data": "inputs come from files, or are random",
    "string-length": "inputs come from files, or are random",
}
"""Of perf_analyzer."""

MARKS = frozenset(
    (
        *USED.difference(("model_repository", "concurrency", "batch_sizes", "latency_budget", "request_rate")),
        *UNUSED.keys() - {"mode", "weighting", "plots", "gpus"},
    )
)
"""Keys that tell that a file is one of Model Analyzer's."""


def reason_of(key: str) -> str:
    """Why a field is not used."""
    if key in UNUSED:
        return UNUSED[key]
    near = difflib.get_close_matches(key, [*USED, *UNUSED], 1)
    return f"not a field that is known here; did you mean {near[0]}?" if near else "not a field that is known here"
