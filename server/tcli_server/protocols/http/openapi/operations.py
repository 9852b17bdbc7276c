"""What can be asked over HTTP: a row for each method of a path."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_MODEL = ("/v2/models/{model_name}", "/v2/models/{model_name}/versions/{model_version}")

_BINARY = (
    "Tensors whose `binary_data_size` is given lie behind the JSON, one after the other, and the header "
    "Inference-Header-Content-Length tells how long the JSON is."
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One of them.

    Attributes:
        id: names it in generated clients.
        paths: templates; those with more in them ask the same of less.
        answer: the schema of a 200 answer; empty where it has no body.
        errors: statuses of its own that are answered with an error's text; likewise `bare`, with an empty body.
        body: schema of the request's body; empty where there is none.
        binary: the body may also have binary tensors.
        headers: name -> description and type.
    """

    method: str
    id: str
    paths: tuple[str, ...]
    summary: str
    tag: str
    answer: str = ""
    answer_type: str = "application/json"
    errors: tuple[int, ...] = ()
    bare: tuple[int, ...] = ()
    body: str = ""
    body_required: bool = False
    binary: bool = False
    headers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    text: str = ""

    def varies(self, parameter: str) -> bool:
        """Some of the paths have this parameter, others not."""
        return 0 < sum("{" + parameter + "}" in path for path in self.paths) < len(self.paths)


TAGS = {
    "health": "Whether the server and its models are ready.",
    "metadata": "What the server and its models are.",
    "inference": "Ask a model.",
    "statistics": "What has been asked, and how long it took.",
    "repository": "Models on disk, and which of them are loaded.",
    "shared memory": "Regions of memory that clients on the same machine share with the server.",
    "settings": "Log and traces.",
    "description": "This document.",
}


def _model(ending: str) -> tuple[str, ...]:
    return tuple(path + ending for path in _MODEL)


def _get(name: str, paths: str | tuple[str, ...], summary: str, tag: str, answer: str = "", *errors: int) -> Operation:
    return Operation("get", name, (paths,) if isinstance(paths, str) else paths, summary, tag, answer, errors=errors)


def _post(
    name: str, paths: str | tuple[str, ...], summary: str, tag: str, answer: str, body: str, *errors: int
) -> Operation:
    paths = (paths,) if isinstance(paths, str) else paths
    return Operation("post", name, paths, summary, tag, answer, errors=(*errors, 408, 413), body=body)


_INFER_ERRORS = (408, 413, 500, 501)
_CONTROL_ERRORS = (500, 501)
_REGION = "/region/{region_name}"


def _shared_memory(kind: str) -> list[Operation]:
    base, name, tag = f"/v2/{kind}sharedmemory", f"{kind}_shared_memory", "shared memory"
    title = "CUDA" if kind == "cuda" else "system"
    one = f"{base}{_REGION}"
    both = (base, one)
    body = "CudaRegion" if kind == "cuda" else "SystemRegion"
    return [
        _get(
            f"{name}_status", (f"{base}/status", f"{one}/status"), f"Regions of {title} shared memory", tag, "Regions"
        ),
        _post(
            f"{name}_register",
            tuple(f"{path}/register" for path in both),
            f"Register {title} shared memory",
            tag,
            "",
            body,
            404,
            500,
            501,
        ),
        _post(
            f"{name}_unregister",
            tuple(f"{path}/unregister" for path in both),
            f"Let go of {title} shared memory",
            tag,
            "",
            "",
            404,
            501,
        ),
    ]


OPERATIONS: tuple[Operation, ...] = (
    Operation("get", "live", ("/v2/health/live",), "Whether the server runs", "health", bare=(400, 503)),
    Operation("get", "ready", ("/v2/health/ready",), "Whether the server is ready", "health", bare=(400, 503)),
    _get("model_ready", _model("/ready"), "Whether a model is ready", "health"),
    _get("server_metadata", "/v2", "Name, version and extensions of the server", "metadata", "ServerMetadata"),
    _get("model_metadata", _model(""), "Inputs and outputs of a model", "metadata", "ModelMetadata"),
    _get("model_config", _model("/config"), "Configuration of a model", "metadata", "ModelConfig"),
    Operation(
        "post",
        "infer",
        _model("/infer"),
        "One inference",
        "inference",
        "InferResponse",
        errors=_INFER_ERRORS,
        body="InferRequest",
        body_required=True,
        binary=True,
        headers={"Inference-Header-Content-Length": ("Bytes of JSON before binary tensors.", "integer")},
        text=_BINARY,
    ),
    Operation(
        "post",
        "generate",
        _model("/generate"),
        "One inference whose inputs are members of the body",
        "inference",
        "GenerateResponse",
        errors=_INFER_ERRORS,
        body="GenerateRequest",
        body_required=True,
    ),
    Operation(
        "post",
        "generate_stream",
        _model("/generate_stream"),
        "The same, each response of the model as an event",
        "inference",
        "Events",
        "text/event-stream",
        errors=_INFER_ERRORS,
        body="GenerateRequest",
        body_required=True,
    ),
    _get("statistics", "/v2/models/stats", "Statistics of all models", "statistics", "Statistics"),
    _get("model_statistics", _model("/stats"), "Statistics of a model", "statistics", "Statistics"),
    Operation(
        "post",
        "repository_index",
        ("/v2/repository/index", "/v2/repository/{repository_name}/index"),
        "All models and their states",
        "repository",
        "RepositoryIndex",
        errors=(408, 413, 500),
        body="IndexRequest",
    ),
    _post("load", "/v2/repository/models/{model_name}/load", "Load a model, or load it anew", "repository", "",
          "LoadRequest", *_CONTROL_ERRORS),
    _post("unload", "/v2/repository/models/{model_name}/unload", "Unload a model", "repository", "",
          "UnloadRequest", *_CONTROL_ERRORS),
    _post("load_of_repository", "/v2/repository/{repository_name}/models/{model_name}/load",
          "Not supported, as in Triton", "repository", "", "LoadRequest", *_CONTROL_ERRORS),
    _post("unload_of_repository", "/v2/repository/{repository_name}/models/{model_name}/unload",
          "Not supported, as in Triton", "repository", "", "UnloadRequest", *_CONTROL_ERRORS),
    *_shared_memory("system"),
    *_shared_memory("cuda"),
    _get("log_settings", "/v2/logging", "What is logged", "settings", "LogSettings"),
    _post("change_log_settings", "/v2/logging", "Change what is logged", "settings", "LogSettings", "LogSettings",
          500, 501),
    _get("trace_settings", ("/v2/trace/setting", "/v2/models/{model_name}/trace/setting"), "What is traced", "settings",
         "TraceSettings"),
    _post("change_trace_settings", ("/v2/trace/setting", "/v2/models/{model_name}/trace/setting"),
          "Change what is traced", "settings", "TraceSettings", "TraceSettings", 500, 501),
    _get("openapi", "/v2/openapi.json", "This document", "description", "Document"),
)  # fmt: skip
