"""`tcli serve`: answer Triton's clients over HTTP, gRPC and a metrics port."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton_cli import serve_settings as settings
from triton_cli.console import answer, fail, outlive_readers
from triton_cli.model_source import served_repository
from triton_cli.option_sources import config_option
from triton_cli.serve_alone import run_alone
from triton_cli.serve_clouds import cloud_variables, sagemaker, vertex_ai
from triton_cli.serve_process import StopSignal, importing
from triton_cli.serve_start import check_log, in_options
from triton_cli.serve_traces import Deprecated, trace_options
from triton_cli.triton_command import TritonCommand
from triton_cli.triton_options import Switch, switch

if TYPE_CHECKING:
    from tcli_server.workers import WorkerSetup

_GENERAL, _MODELS, _HTTP, _GRPC = "General", "Models", "HTTP", "gRPC"
_CLOUDS, _METRICS, _TRACES, _LOG = "Clouds", "Metrics", "Traces", "Log"

app = typer.Typer(rich_markup_mode=None, add_completion=False)


def _choice(panel: str, text: str, *names: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar, **more)


@app.command(cls=TritonCommand)
def serve(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="hf:ORG/NAME|URL",
            help="A model to fetch (hf:ORG/NAME[/FILE][@REVISION] or an address), to add to a repository of its own in the "
            "cache folder, and to serve.",
            rich_help_panel=_MODELS,
            show_default=False,
        ),
    ] = None,
    model_repository: Annotated[
        list[Path] | None,
        _choice(
            _MODELS,
            "Folder of models (repeatable). [default: ./model_repository]",
            "--model-repository",
            "--model-store",
            metavar="DIR",
        ),
    ] = None,
    model_namespacing: Annotated[
        Switch, switch(_MODELS, "Several repositories may have models of the same name.")
    ] = Switch.FALSE,
    model_control_mode: Annotated[
        str,
        _choice(
            _MODELS,
            "none loads every model at the start, poll does so and follows what changes in the repository; explicit loads "
            "those of --load-model; on-demand loads a model when the first request for it comes.",
            metavar="none|poll|explicit|on-demand",
        ),
    ] = "none",
    repository_poll_secs: Annotated[
        int,
        _choice(_MODELS, "How often poll and on-demand look at the repository; 0 for never.", min=0, metavar="SECONDS"),
    ] = 15,
    load_model: Annotated[
        list[str] | None, _choice(_MODELS, "Model to load at the start (repeatable); '*' for all.", metavar="NAME")
    ] = None,
    memory_budget: Annotated[
        str | None,
        _choice(
            _MODELS,
            "With on-demand: memory that loaded models may take together, like 2GiB; those that are longest unused go first.",
            metavar="BYTES",
        ),
    ] = None,
    idle_unload_secs: Annotated[
        float,
        _choice(
            _MODELS,
            "With on-demand: unload models that are not used for so long, 0 for never.",
            min=0,
            metavar="SECONDS",
        ),
    ] = 0,
    pin_model: Annotated[
        list[str] | None,
        _choice(_MODELS, "With on-demand: model to load at the start and to keep loaded (repeatable).", metavar="NAME"),
    ] = None,
    load_wait_secs: Annotated[
        float,
        _choice(
            _MODELS,
            "With on-demand: how long a request waits for its model to be loaded.",
            min=0.001,
            metavar="SECONDS",
        ),
    ] = 120,
    load_wait_requests: Annotated[
        int,
        _choice(_MODELS, "With on-demand: requests that may wait for models to be loaded.", min=1, metavar="N"),
    ] = 1024,
    model_load_thread_count: Annotated[
        int, _choice(_MODELS, "Models that load at the same time.", min=1, metavar="N")
    ] = 4,
    model_load_retry_count: Annotated[
        int, _choice(_MODELS, "Try a version that cannot be loaded so often again.", min=0, metavar="N")
    ] = 0,
    model_config_name: Annotated[
        str,
        _choice(
            _MODELS, "Use configs/NAME.pbtxt of a model's folder, where it is, as its configuration.", metavar="NAME"
        ),
    ] = "",
    disable_auto_complete_config: Annotated[
        Switch, switch(_MODELS, "Do not fill what a config.pbtxt leaves out from the model file.")
    ] = Switch.FALSE,
    backend_config: Annotated[
        list[str] | None,
        _choice(
            _MODELS,
            "Backend setting (repeatable), for example onnxruntime,default-max-batch-size=8.",
            metavar="BACKEND,KEY=VALUE",
        ),
    ] = None,
    backend_directory: Annotated[
        Path | None,
        _choice(_MODELS, "Folder of Python-based backends: NAME/model.py runs models of backend NAME.", metavar="DIR"),
    ] = None,
    allow_model_control_config: Annotated[Switch, switch(_MODELS, "The load API takes configurations.")] = Switch.TRUE,
    allow_model_control_files: Annotated[Switch, switch(_MODELS, "The load API takes model files.")] = Switch.TRUE,
    config: Annotated[Path | None, config_option(_GENERAL, cloud_variables)] = None,  # noqa: ARG001 - its callback reads it
    print_config: Annotated[
        Switch,
        switch(
            _GENERAL,
            "Print the options as a file for --config, each with where it is from, and start nothing.",
            from_file=False,
        ),
    ] = Switch.FALSE,
    exit_on_error: Annotated[Switch, switch(_GENERAL, "Do not start if a model fails to load.")] = Switch.TRUE,
    exit_timeout_secs: Annotated[
        int, _choice(_GENERAL, "How long to wait for requests in flight when stopped.", min=0, metavar="SECONDS")
    ] = 30,
    shutdown_delay_secs: Annotated[
        float,
        _choice(
            _GENERAL,
            "When stopped: for so long answer everything but readiness, then have clients leave; for replicas behind a proxy.",
            min=0,
            max=3600,
            metavar="SECONDS",
        ),
    ] = 0,
    cache_config: Annotated[
        list[str] | None,
        _choice(
            _MODELS,
            "Keep answers in memory, for models whose config.pbtxt has response_cache { enable: true }: local,size=BYTES.",
            metavar="local,size=BYTES",
        ),
    ] = None,
    response_cache_byte_size: Annotated[
        int, _choice(_MODELS, "The same, in its old form; 0 for no cache.", min=0, metavar="BYTES")
    ] = 0,
    rate_limit: Annotated[
        str,
        _choice(
            _MODELS,
            "execution_count: instances share the resources that their rate_limiter asks for, across all models.",
            metavar="off|execution_count",
        ),
    ] = "off",
    rate_limit_resource: Annotated[
        list[str] | None,
        _choice(
            _MODELS,
            "How much there is of a resource (repeatable). [default: the most that one instance needs]",
            metavar="NAME:COUNT[:DEVICE]",
        ),
    ] = None,
    workers: Annotated[
        int,
        _choice(
            _GENERAL,
            "Processes that share the ports and the cores (Linux); SIGHUP replaces them one by one.",
            min=1,
            metavar="N",
        ),
    ] = 1,
    max_pending_bytes: Annotated[
        int | None,
        _choice(
            _GENERAL,
            "Input that unanswered requests may hold together; more is answered 503. [default: a quarter of the memory]",
            min=1,
            metavar="BYTES",
        ),
    ] = None,
    allow_client_shm: Annotated[
        Switch,
        switch(
            _GENERAL, "Clients on this machine may have tensors in shared memory. Only where all clients are trusted."
        ),
    ] = Switch.FALSE,
    auth_token_file: Annotated[
        str,
        _choice(
            _GENERAL,
            "Tokens, and what each is for: needed for every call but those that ask whether the server is alive and ready.",
            metavar="FILE",
        ),
    ] = "",
    strict_readiness: Annotated[
        Switch, switch(_GENERAL, "Ready only while every model is; false: as soon as the server runs.")
    ] = Switch.TRUE,
    server_id: Annotated[str, _choice(_GENERAL, "Name in the server's metadata.", "--id", metavar="NAME")] = "triton",
    allow_http: Annotated[Switch, switch(_HTTP, "Serve HTTP.")] = Switch.TRUE,
    http_port: Annotated[int, _choice(_HTTP, "HTTP port, 0 for a free one.", metavar="PORT")] = 8000,
    http_address: Annotated[str, _choice(_HTTP, "Address to listen on.", metavar="ADDRESS")] = "0.0.0.0",
    reuse_http_port: Annotated[
        Switch, switch(_HTTP, "Share the port with other servers of this user that have this option, too.")
    ] = Switch.FALSE,
    http_max_input_size: Annotated[
        int, _choice(_HTTP, "Largest JSON, or decompressed body, of a request.", min=1, metavar="BYTES")
    ] = 64 << 20,
    http_max_body_size: Annotated[
        int, _choice(_HTTP, "Largest body of a request, binary tensors included.", min=1, metavar="BYTES")
    ] = 2 << 30,
    http_max_connections: Annotated[
        int, _choice(_HTTP, "Connections at once; more are answered 503.", min=1, metavar="N")
    ] = 4096,
    http_head_timeout_secs: Annotated[
        float, _choice(_HTTP, "Time for the headers of a request.", min=0.1, metavar="SECONDS")
    ] = 30,
    http_body_timeout_secs: Annotated[
        float, _choice(_HTTP, "How long nothing of a request's body may come.", min=0.1, metavar="SECONDS")
    ] = 30,
    http_idle_timeout_secs: Annotated[
        float,
        _choice(_HTTP, "Close connections that ask nothing, or read nothing, for so long.", min=0.1, metavar="SECONDS"),
    ] = 75,
    http_header_forward_pattern: Annotated[
        str, _choice(_HTTP, "Headers whose name it matches are parameters of the request.", metavar="REGEX")
    ] = "",
    http_response_header_pattern: Annotated[
        str, _choice(_HTTP, "Response parameters whose name it matches are headers, too.", metavar="REGEX")
    ] = "",
    allow_ui: Annotated[Switch, switch(_HTTP, "Serve the web page at / of the HTTP port.")] = Switch.TRUE,
    http_use_ssl: Annotated[Switch, switch(_HTTP, "Serve HTTP and metrics over TLS only.")] = Switch.FALSE,
    http_use_ssl_mutual: Annotated[
        Switch, switch(_HTTP, "The same, and only for clients whose certificate --http-root-cert has signed.")
    ] = Switch.FALSE,
    http_server_cert: Annotated[str, _choice(_HTTP, "The server's certificate, in PEM format.", metavar="FILE")] = "",
    http_server_key: Annotated[str, _choice(_HTTP, "Its private key, in PEM format.", metavar="FILE")] = "",
    http_root_cert: Annotated[
        str, _choice(_HTTP, "The certificates that clients' own are checked by, in PEM format.", metavar="FILE")
    ] = "",
    http_restricted_api: Annotated[
        list[str] | None,
        _choice(
            _HTTP,
            "APIs for who sends the header KEY: VALUE only (repeatable).",
            metavar="API1,API2:KEY=VALUE",
            hide_input=True,
        ),
    ] = None,
    allow_grpc: Annotated[Switch, switch(_GRPC, "Serve gRPC.")] = Switch.TRUE,
    grpc_port: Annotated[int, _choice(_GRPC, "gRPC port, 0 for a free one.", metavar="PORT")] = 8001,
    grpc_address: Annotated[str, _choice(_GRPC, "Address to listen on.", metavar="ADDRESS")] = "0.0.0.0",
    reuse_grpc_port: Annotated[
        Switch, switch(_GRPC, "Share the port with other servers of this user that have this option, too.")
    ] = Switch.FALSE,
    grpc_infer_response_compression_level: Annotated[
        str, _choice(_GRPC, "Compression of inference responses (gzip at each level).", metavar="none|low|medium|high")
    ] = "none",
    grpc_keepalive_time: Annotated[
        int, _choice(_GRPC, "Ping a connection that is silent for so long.", min=1, metavar="MS")
    ] = 7_200_000,
    grpc_keepalive_timeout: Annotated[
        int, _choice(_GRPC, "Close it if the ping is not answered within this time.", min=1, metavar="MS")
    ] = 20_000,
    grpc_keepalive_permit_without_calls: Annotated[
        Switch, switch(_GRPC, "Ping also while no call is under way.")
    ] = Switch.FALSE,
    grpc_http2_max_pings_without_data: Annotated[
        int, _choice(_GRPC, "Pings to send while no data flows.", min=0, metavar="N")
    ] = 2,
    grpc_http2_min_recv_ping_interval_without_data: Annotated[
        int, _choice(_GRPC, "Pings that come faster than this are strikes.", min=0, metavar="MS")
    ] = 300_000,
    grpc_http2_max_ping_strikes: Annotated[
        int, _choice(_GRPC, "Strikes before a connection is closed.", min=0, metavar="N")
    ] = 2,
    grpc_max_connection_age: Annotated[
        int, _choice(_GRPC, "Close connections of this age, 0 for never.", min=0, metavar="MS")
    ] = 0,
    grpc_max_connection_age_grace: Annotated[
        int,
        _choice(_GRPC, "Time that an aged connection has to finish its calls, 0 for no limit.", min=0, metavar="MS"),
    ] = 0,
    grpc_use_ssl: Annotated[Switch, switch(_GRPC, "Serve gRPC over TLS only.")] = Switch.FALSE,
    grpc_use_ssl_mutual: Annotated[
        Switch, switch(_GRPC, "The same, and only for clients whose certificate --grpc-root-cert has signed.")
    ] = Switch.FALSE,
    grpc_server_cert: Annotated[str, _choice(_GRPC, "The server's certificate, in PEM format.", metavar="FILE")] = "",
    grpc_server_key: Annotated[str, _choice(_GRPC, "Its private key, in PEM format.", metavar="FILE")] = "",
    grpc_root_cert: Annotated[
        str, _choice(_GRPC, "The certificates that clients' own are checked by, in PEM format.", metavar="FILE")
    ] = "",
    grpc_header_forward_pattern: Annotated[
        str, _choice(_GRPC, "Metadata whose name it matches are parameters of the request.", metavar="REGEX")
    ] = "",
    grpc_restricted_protocol: Annotated[
        list[str] | None,
        _choice(
            _GRPC,
            "APIs for who sends the metadata triton-grpc-protocol-KEY: VALUE only (repeatable).",
            metavar="API1,API2:KEY=VALUE",
            hide_input=True,
        ),
    ] = None,
    grpc_reflection: Annotated[
        Switch, switch(_GRPC, "Tell clients such as grpcurl what can be called.")
    ] = Switch.FALSE,
    grpc_engine: Annotated[
        str,
        _choice(_GRPC, "nghttp2, aio (grpc.aio), or auto: the first that is installed.", metavar="NAME"),
    ] = "auto",
    grpc_max_connections: Annotated[
        int, _choice(_GRPC, "Connections at a time; more are refused.", min=1, metavar="N")
    ] = 10_000,
    grpc_max_pending_calls: Annotated[
        int, _choice(_GRPC, "Inferences under way at a time; more are answered UNAVAILABLE.", min=1, metavar="N")
    ] = 50_000,
    allow_vertex_ai: Annotated[
        Switch,
        switch(
            _CLOUDS, "Answer Vertex AI (AIP_MODE=PREDICTION in the environment sets it, and HTTP and gRPC to false)."
        ),
    ] = Switch.FALSE,
    vertex_ai_port: Annotated[
        int, _choice(_CLOUDS, "Port for it, 0 for a free one (AIP_HTTP_PORT sets it).", metavar="PORT")
    ] = 8080,
    vertex_ai_default_model: Annotated[
        str, _choice(_CLOUDS, "Model that it asks. [default: the only one]", metavar="NAME")
    ] = "",
    allow_sagemaker: Annotated[
        Switch,
        switch(_CLOUDS, "Answer SageMaker; SAGEMAKER_TRITON_DEFAULT_MODEL_NAME in the environment is the model."),
    ] = Switch.FALSE,
    sagemaker_port: Annotated[int, _choice(_CLOUDS, "Port for it, 0 for a free one.", metavar="PORT")] = 8080,
    allow_metrics: Annotated[Switch, switch(_METRICS, "Serve Prometheus metrics.")] = Switch.TRUE,
    allow_cpu_metrics: Annotated[Switch, switch(_METRICS, "CPU and memory of this machine.")] = Switch.TRUE,
    allow_gpu_metrics: Annotated[Switch, switch(_METRICS, "GPUs of this machine, where there are any.")] = Switch.TRUE,
    metrics_port: Annotated[int, _choice(_METRICS, "Metrics port, 0 for a free one.", metavar="PORT")] = 8002,
    metrics_address: Annotated[
        str | None, _choice(_METRICS, "Address to listen on. [default: the HTTP address]", metavar="ADDRESS")
    ] = None,
    metrics_interval_ms: Annotated[
        int, _choice(_METRICS, "CPU and GPU gauges are read twice in this time.", min=1, metavar="MS")
    ] = 2000,
    metrics_config: Annotated[
        list[str] | None,
        _choice(
            _METRICS,
            "Families of times (repeatable): counter_latencies, histogram_latencies and summary_latencies are true or false, "
            "summary_quantiles is a list such as 0.5:0.05,0.99:0.001.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    trace_config: Annotated[
        list[str] | None,
        _choice(
            _TRACES,
            "What is traced (repeatable): level=TIMESTAMPS|TENSORS|OFF, rate=N, count=N, mode=triton|opentelemetry, "
            "triton,file=FILE, triton,log-frequency=N, opentelemetry,url=URL, opentelemetry,resource=NAME=VALUE, opentelemetry,bsp_...=N.",
            metavar="[MODE,]SETTING=VALUE",
        ),
    ] = None,
    trace_file: Annotated[
        str | None, _choice(_TRACES, "Deprecated: --trace-config triton,file=FILE.", metavar="FILE")
    ] = None,
    trace_level: Annotated[
        list[str] | None, _choice(_TRACES, "Deprecated: --trace-config level=LEVEL.", metavar="LEVEL")
    ] = None,
    trace_rate: Annotated[int | None, _choice(_TRACES, "Deprecated: --trace-config rate=N.", metavar="N")] = None,
    trace_count: Annotated[int | None, _choice(_TRACES, "Deprecated: --trace-config count=N.", metavar="N")] = None,
    trace_log_frequency: Annotated[
        int | None, _choice(_TRACES, "Deprecated: --trace-config triton,log-frequency=N.", metavar="N")
    ] = None,
    log_verbose: Annotated[int, _choice(_LOG, "1 and more: also log details.", min=0, metavar="LEVEL")] = 0,
    log_info: Annotated[Switch, switch(_LOG, "Log what happens.")] = Switch.TRUE,
    log_warning: Annotated[Switch, switch(_LOG, "Log warnings.")] = Switch.TRUE,
    log_error: Annotated[Switch, switch(_LOG, "Log errors.")] = Switch.TRUE,
    log_format: Annotated[str, _choice(_LOG, "How lines begin.", metavar="default|ISO8601")] = "default",
    log_file: Annotated[str, _choice(_LOG, "Append to this file instead of stderr.", metavar="FILE")] = "",
    access_log: Annotated[
        str, _choice(_LOG, "Append a line for each request to this file; - for stdout.", metavar="FILE|-")
    ] = "",
    access_log_format: Annotated[str, _choice(_LOG, "What such a line is.", metavar="text|json")] = "text",
    access_log_sample: Annotated[
        int, _choice(_LOG, "Log every so many requests only, and all that fail.", min=1, metavar="N")
    ] = 1,
) -> None:
    """Serve the models of a repository: HTTP on port 8000, gRPC on 8001, metrics on 8002.

    Options and defaults are tritonserver's; all of them can come from a file (--config) and from the environment, too. Ctrl-C or SIGTERM ends it once all requests in flight are answered.

    \b
    Examples:
      tcli serve
      tcli serve --model-repository models --http-port 9000 --allow-metrics=false
      tcli serve --model-control-mode explicit --load-model densenet_onnx
      tcli serve --config server.yaml
      TCLI_HTTP_PORT=9000 tcli serve --print-config
      tcli serve hf:ORG/NAME
      curl -s localhost:8000/v2/health/ready -w '%{http_code}'
    """
    model_control_mode = model_control_mode.lower()
    settings.one_of("--model-control-mode", model_control_mode, "none", "poll", "explicit", "on-demand")
    settings.one_of("--log-format", log_format, "default", "ISO8601")
    settings.one_of("--access-log-format", access_log_format, "text", "json")
    level = grpc_infer_response_compression_level
    settings.one_of("--grpc-infer-response-compression-level", level, "none", "low", "medium", "high")
    settings.one_of("--grpc-engine", grpc_engine, "auto", "nghttp2", "aio")
    if source is not None and not print_config:
        model_repository = [served_repository(source), *(model_repository or [])]
    if allow_client_shm and workers > 1:
        fail(
            f"--allow-client-shm cannot be combined with --workers {workers}: a region is registered with one process, and "
            "requests come to all of them",
            "leave one of the two out",
        )
    if (allow_vertex_ai or allow_sagemaker) and workers > 1:
        fail(
            f"--allow-vertex-ai and --allow-sagemaker cannot be combined with --workers {workers}: their port is one "
            "process's",
            "leave --workers out",
        )
    stop = StopSignal()

    with importing():
        from tcli_server.models.on_demand_options import OnDemandOptions
        from tcli_server.observability.log import LogOptions
        from tcli_server.options import EngineOptions
        from tcli_server.protocols.grpc import GrpcOptions
        from tcli_server.protocols.http import HttpLimits
        from tcli_server.protocols.security import SecurityOptions
        from tcli_server.serving import ServeOptions

    log_options = LogOptions(
        log_verbose,
        bool(log_info),
        bool(log_warning),
        bool(log_error),
        log_format,  # type: ignore[arg-type]
        log_file,
    )
    metrics = settings.metrics(metrics_config or [], bool(allow_metrics))
    backend_settings = settings.backend_config(backend_config or [], backend_directory)
    load_models = settings.models_to_load(model_control_mode, load_model or [])
    limit, limit_resources = settings.rate_limit(rate_limit, rate_limit_resource or [])
    grpc_tls = settings.tls(
        "grpc", bool(grpc_use_ssl), bool(grpc_use_ssl_mutual), grpc_server_cert, grpc_server_key, grpc_root_cert
    )
    http_tls = settings.tls(
        "http", bool(http_use_ssl), bool(http_use_ssl_mutual), http_server_cert, http_server_key, http_root_cert
    )
    options = ServeOptions(
        http_port=http_port,
        http_address=settings.address(http_address),
        allow_http=bool(allow_http),
        reuse_http_port=settings.shared_port("--reuse-http-port", reuse_http_port),
        http_max_input_size=http_max_input_size,
        http_header_forward_pattern=http_header_forward_pattern,
        http_response_header_pattern=http_response_header_pattern,
        http=HttpLimits(
            head_timeout_secs=http_head_timeout_secs,
            body_timeout_secs=http_body_timeout_secs,
            idle_timeout_secs=http_idle_timeout_secs,
            max_body_size=http_max_body_size,
            max_connections=http_max_connections,
        ),
        allow_ui=bool(allow_ui),
        grpc_port=grpc_port,
        grpc_address=settings.address(grpc_address),
        allow_grpc=bool(allow_grpc),
        reuse_grpc_port=settings.shared_port("--reuse-grpc-port", reuse_grpc_port),
        grpc=GrpcOptions(
            engine=grpc_engine,  # type: ignore[arg-type]
            tls=grpc_tls,
            reflection=bool(grpc_reflection),
            header_forward_pattern=grpc_header_forward_pattern,
            infer_response_compression_level=level,  # type: ignore[arg-type]
            keepalive_time=grpc_keepalive_time,
            keepalive_timeout=grpc_keepalive_timeout,
            keepalive_permit_without_calls=bool(grpc_keepalive_permit_without_calls),
            http2_max_pings_without_data=grpc_http2_max_pings_without_data,
            http2_min_recv_ping_interval_without_data=grpc_http2_min_recv_ping_interval_without_data,
            http2_max_ping_strikes=grpc_http2_max_ping_strikes,
            max_connection_age=grpc_max_connection_age,
            max_connection_age_grace=grpc_max_connection_age_grace,
            max_connections=grpc_max_connections,
            max_pending_calls=grpc_max_pending_calls,
        ),
        metrics_port=metrics_port,
        metrics_address=None if metrics_address is None else settings.address(metrics_address),
        allow_metrics=bool(allow_metrics),
        allow_cpu_metrics=bool(allow_cpu_metrics),
        allow_gpu_metrics=bool(allow_gpu_metrics),
        metrics_interval_ms=metrics_interval_ms,
        exit_timeout_secs=exit_timeout_secs,
        shutdown_delay_secs=shutdown_delay_secs,
        allow_client_shm=bool(allow_client_shm),
        clouds=(
            *((vertex_ai(vertex_ai_port, vertex_ai_default_model),) if allow_vertex_ai else ()),
            *((sagemaker(sagemaker_port),) if allow_sagemaker else ()),
        ),
        access_log=settings.access_log(access_log, access_log_format, access_log_sample),
        security=SecurityOptions(
            http_tls, auth_token_file, tuple(http_restricted_api or []), tuple(grpc_restricted_protocol or [])
        ),
    )
    traces_before = Deprecated(trace_file, trace_level or (), trace_rate, trace_count, trace_log_frequency)
    engine_options = EngineOptions(
        model_control_mode=model_control_mode,  # type: ignore[arg-type]
        repository_poll_secs=repository_poll_secs,
        load_models=load_models,
        model_namespacing=bool(model_namespacing),
        on_demand=OnDemandOptions(
            settings.byte_count("--memory-budget", memory_budget) if memory_budget is not None else None,
            idle_unload_secs,
            tuple(dict.fromkeys(pin_model or [])),
            load_wait_secs,
            load_wait_requests,
        ),
        model_config_name=settings.config_name(model_config_name),
        auto_complete_config=not disable_auto_complete_config,
        backend_config=backend_settings,
        exit_on_error=bool(exit_on_error),
        strict_readiness=bool(strict_readiness),
        model_load_thread_count=model_load_thread_count,
        model_load_retry_count=model_load_retry_count,
        response_cache_byte_size=settings.cache_size(cache_config or [], response_cache_byte_size),
        rate_limit=limit,
        rate_limit_resources=limit_resources,
        max_pending_bytes=max_pending_bytes,
        allow_model_control_config=bool(allow_model_control_config),
        allow_model_control_files=bool(allow_model_control_files),
        metrics=metrics,
        trace=trace_options(trace_config or [], traces_before),
        server_id=server_id,
    )
    if workers > 1 or print_config:
        from tcli_server.workers import WorkerSetup
    if print_config:
        _print_config(ctx, WorkerSetup((), engine_options, options, log_options, workers))
        return
    outlive_readers()
    repositories = settings.repositories(model_repository, must_exist=bool(exit_on_error))
    if workers == 1:
        run_alone(stop, repositories, engine_options, options, log_options)
        return
    from triton_cli.serve_workers import run_workers

    run_workers(stop, WorkerSetup(repositories, engine_options, options, log_options, workers))


def _print_config(ctx: typer.Context, setup: "WorkerSetup") -> None:
    """Show the options once all is checked that can be without models and ports."""
    from tcli_server.errors import ServerError
    from tcli_server.serving import check_services
    from triton_cli.option_view import options_as_yaml

    check_log(setup.log)
    try:
        (setup if setup.workers > 1 else setup.engine).check()
        check_services(setup.serve)
    except ServerError as error:
        fail(in_options(str(error)))
    answer(options_as_yaml(ctx))
