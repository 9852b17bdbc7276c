"""What requests and answers look like, as JSON Schema."""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_DATATYPE: Schema = {
    "type": "string",
    "enum": ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64",
             "BF16", "BYTES"],
}  # fmt: skip


def _to(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(required: str = "", **properties: Schema) -> Schema:
    described: Schema = {"type": "object", "properties": properties}
    return described | ({"required": required.split()} if required else {})


_PARAMETERS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "integer", "number", "boolean"]}}
_VERSIONED = {"model_name": _TEXT, "model_version": _TEXT}
_TENSOR_METADATA = _object("name datatype shape", name=_TEXT, datatype=_DATATYPE, shape=_list({"type": "integer"}))

SCHEMAS: dict[str, Schema] = {
    "Error": _object("error", error=_TEXT),
    "ServerMetadata": _object("name version extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "ModelMetadata": _object(
        "name versions platform inputs outputs",
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_TENSOR_METADATA),
        outputs=_list(_TENSOR_METADATA),
    ),
    "ModelConfig": {
        "type": "object",
        "description": "Triton's ModelConfig message as JSON: what config.pbtxt says, completed.",
        "required": ["name"],
        "properties": {"name": _TEXT},
    },
    "Parameters": _PARAMETERS,
    "RequestTensor": _object(
        "name shape datatype",
        name=_TEXT,
        shape=_list(_COUNT),
        datatype=_DATATYPE,
        data={"type": "array", "description": "Elements, flat or nested."},
        parameters=_to("Parameters"),
    ),
    "RequestedOutput": _object("name", name=_TEXT, parameters=_to("Parameters")),
    "InferRequest": _object(
        "inputs",
        id=_TEXT,
        parameters=_to("Parameters"),
        inputs=_list(_to("RequestTensor")),
        outputs=_list(_to("RequestedOutput")),
    ),
    "ResponseTensor": _object(
        "name shape datatype",
        name=_TEXT,
        shape=_list(_COUNT),
        datatype=_DATATYPE,
        data={"type": "array"},
        parameters=_to("Parameters"),
    ),
    "InferResponse": _object(
        "model_name model_version outputs",
        id=_TEXT,
        parameters=_to("Parameters"),
        outputs=_list(_to("ResponseTensor")),
        **_VERSIONED,
    ),
    "GenerateRequest": {
        "type": "object",
        "description": "Members that are named as inputs are these inputs, flat; the others are parameters.",
        "properties": {"id": _TEXT, "parameters": {"type": "object"}},
    },
    "GenerateResponse": _object("model_name model_version", id=_TEXT, **_VERSIONED),
    "Events": {"type": "string", "description": "Lines `data: `, each with a GenerateResponse or an Error."},
    "Statistics": _object("model_stats", model_stats=_list(_to("ModelStatistics"))),
    "ModelStatistics": _object(
        "name version inference_count execution_count inference_stats batch_stats",
        name=_TEXT,
        version=_TEXT,
        last_inference=_COUNT,
        inference_count=_COUNT,
        execution_count=_COUNT,
        inference_stats={"type": "object", "additionalProperties": _to("Duration")},
        batch_stats=_list({"type": "object"}),
    ),
    "Duration": _object("count ns", count=_COUNT, ns=_COUNT),
    "IndexRequest": _object(ready={"type": "boolean"}),
    "RepositoryIndex": _list(_object("name", name=_TEXT, version=_TEXT, state=_TEXT, reason=_TEXT)),
    "LoadRequest": _object(
        parameters={
            "type": "object",
            "description": "`config` has a configuration as JSON, `file:PATH` a file of the model's folder in base64.",
            "additionalProperties": _TEXT,
        }
    ),
    "UnloadRequest": _object(parameters=_object(unload_dependents={"type": "boolean"})),
    "SystemRegion": _object("key byte_size", key=_TEXT, offset=_COUNT, byte_size=_COUNT),
    "CudaRegion": _object(
        "raw_handle device_id byte_size", raw_handle=_object("b64", b64=_TEXT), device_id=_COUNT, byte_size=_COUNT
    ),
    "Regions": _list(_object("name", name=_TEXT, key=_TEXT, offset=_COUNT, byte_size=_COUNT)),
    "LogSettings": _object(
        log_file={"type": "string", "description": "Only told: clients cannot change it."},
        log_info={"type": "boolean"},
        log_warning={"type": "boolean"},
        log_error={"type": "boolean"},
        log_verbose_level=_COUNT,
        log_format={"type": "string", "enum": ["default", "ISO8601"]},
    ),
    "TraceSettings": {"type": "object", "additionalProperties": {"type": ["string", "array", "null"]}},
    "Document": {"type": "object"},
}
