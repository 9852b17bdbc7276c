"""The description of the HTTP endpoints in OpenAPI's words, at `/v2/openapi.json`.

`operations` has a row for each, as the router's table has; a test holds one against the other, and the schemas against answers.
"""

from typing import Any

from tcli_server.protocols.http.openapi.operations import OPERATIONS, TAGS, Operation
from tcli_server.protocols.http.openapi.schemas import SCHEMAS
from tcli_server.version import VERSION

_JSON = "application/json"

_STATUSES = {
    400: "The request is wrong, or the model is not ready.",
    401: "The server asks for a token.",
    403: "The token is not for this, or a page of another origin asked for it.",
    404: "There is no such model, version or region.",
    408: "The request did not come in time.",
    413: "The request is larger than the server allows.",
    500: "The request is no JSON, as in Triton, or something failed.",
    501: "The server does not have that.",
    503: "Too much is waiting, the server is stopping, or model control is off.",
}

_ALWAYS = {400, 401, 403, 503}
"""Whatever is asked: no HTTP, no right to ask, too many connections."""

_PATH_PARAMETERS = {
    "model_name": ("Name of the model.", "string"),
    "model_version": ("One version of it.", "integer"),
    "repository_name": ("Any name: models of all repositories are told.", "string"),
    "region_name": ("Name that the region was registered with.", "string"),
}


def openapi_document() -> dict[str, Any]:
    """The whole of it, as JSON has it."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        for path in operation.paths:
            paths.setdefault(path, {})[operation.method] = _operation(operation, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tcli",
            "version": VERSION,
            "summary": "The V2 inference protocol over HTTP, with Triton's extensions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Where the server asks for tokens."}
            },
        },
    }


def _operation(operation: Operation, path: str) -> dict[str, Any]:
    names = [name for name in _PATH_PARAMETERS if "{" + name + "}" in path]
    described: dict[str, Any] = {
        "operationId": "_".join([operation.id, *(name for name in names if operation.varies(name))]),
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {
            "200": _response(operation.answer, operation.answer_type),
            **{
                str(status): _response("Error", _JSON, _STATUSES[status])
                if status not in operation.bare
                else {"description": _STATUSES[status]}
                for status in sorted(_ALWAYS.union(operation.errors, operation.bare, (404,) if names else ()))
            },
        },
    }
    parameters = [_path_parameter(name) for name in names] + [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": kind}}
        for name, (text, kind) in operation.headers.items()
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.text:
        described["description"] = operation.text
    if operation.body:
        content: dict[str, Any] = {_JSON: {"schema": _reference(operation.body)}}
        if operation.binary:
            content["application/octet-stream"] = {}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    return described


def _path_parameter(name: str) -> dict[str, Any]:
    text, kind = _PATH_PARAMETERS[name]
    schema = {"type": kind, "minimum": 1, "maximum": 2**63 - 1} if kind == "integer" else {"type": kind, "minLength": 1}
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _response(schema: str, media_type: str, text: str = "") -> dict[str, Any]:
    if not schema:
        return {"description": text or "Done, or yes; the answer is empty."}
    content: dict[str, Any] = {media_type: {"schema": _reference(schema)}}
    if schema == "InferResponse":
        content["application/octet-stream"] = {}
    return {"description": text or "The answer.", "content": content}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
