"""What `tcli serve` is told where it runs as a model's container on Vertex AI or SageMaker: options, and the clouds' variables."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from triton_cli.console import fail
from triton_cli.option_sources import Written

if TYPE_CHECKING:
    from tcli_server.engine import Engine
    from tcli_server.protocols.http.clouds import Cloud
    from tcli_server.serving import ServeOptions

_MODEL_OF_SAGEMAKER = "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"


def cloud_variables(environment: Mapping[str, str]) -> Iterator[Written]:
    """The options that Vertex AI's own variables stand for, as in Triton: there it alone is served unless more is asked for."""
    if environment.get("AIP_MODE") == "PREDICTION":
        for option, value in (("allow-vertex-ai", "true"), ("allow-http", "false"), ("allow-grpc", "false")):
            yield Written(option, (value,), "AIP_MODE")
        if environment.get("AIP_STORAGE_URI"):
            yield Written("model-repository", (environment["AIP_STORAGE_URI"],), "AIP_STORAGE_URI")
    if environment.get("AIP_HTTP_PORT"):
        yield Written("vertex-ai-port", (environment["AIP_HTTP_PORT"],), "AIP_HTTP_PORT")


def vertex_ai(port: int, model: str) -> "Cloud":
    """Vertex AI's endpoint, whose paths it says by variables.

    Args:
        model: empty for the repository's only one.

    Raises:
        Exit: it says none.
    """
    from tcli_server.protocols.http.clouds import Cloud

    return Cloud(
        name="vertex_ai",
        title="Vertex AI",
        service="Vertex AI HTTPService",
        port=port,
        health=_path("AIP_HEALTH_ROUTE"),
        infer=_path("AIP_PREDICT_ROUTE"),
        model=model,
        media_type="application/vnd.vertex-ai-triton.binary+json",
        redirect="x-vertex-ai-triton-redirect",
    )


def _path(variable: str) -> str:
    path = os.environ.get(variable, "")
    if not path.startswith("/"):
        found = f"'{path}', which begins without a slash" if path else "nothing"
        fix = f"set {variable}, as Vertex AI does, or leave --allow-vertex-ai out"
        fail(f"{variable} in the environment: found {found}, expected the path of an endpoint, such as /v1", fix)
    return path


def sagemaker(port: int) -> "Cloud":
    """SageMaker's endpoint for one model.

    Raises:
        Exit: it is to be one for many models.
    """
    from tcli_server.protocols.http.clouds import Cloud

    if os.environ.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true":
        fail("SAGEMAKER_MULTI_MODEL: endpoints for many models are not supported", "make an endpoint for each model")
    return Cloud(
        name="sagemaker",
        title="SageMaker",
        service="Sagemaker HTTPService",
        port=port,
        health="/ping",
        infer="/invocations",
        model=os.environ.get(_MODEL_OF_SAGEMAKER, ""),
        media_type="application/vnd.sagemaker-triton.binary+json",
        answers_in_media_type=True,
    )


def with_models(options: "ServeOptions", engine: "Engine") -> "ServeOptions":
    """The same for clouds whose model is known to be there.

    Raises:
        Exit: the repository has not one model only, or not the one that was named; the engine is shut down then.
    """
    if not options.clouds:
        return options
    known = sorted({model.name for model in engine.repository_index().models})
    for cloud in options.clouds:
        where = "--vertex-ai-default-model" if cloud.name == "vertex_ai" else _MODEL_OF_SAGEMAKER
        models = ", ".join(known) or "none"
        if cloud.model in known or (not cloud.model and len(known) == 1):
            continue
        engine.shutdown(0)
        if cloud.model:
            fail(
                f"{where}: found '{cloud.model}', expected a model of the repository: {models}",
                "name one that is there",
            )
        fail(f"{cloud.title} asks one model, and the repository has {len(known)}: {models}", f"say which with {where}")
    return replace(options, clouds=tuple(replace(cloud, model=cloud.model or known[0]) for cloud in options.clouds))
