"""What can be chosen about an engine."""

from dataclasses import dataclass, field
from typing import Literal

from tcli_server.models.draft import BackendConfig


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine behaves; names and defaults are Triton's where Triton has them.

    Attributes:
        model_control_mode: `none` loads every model at the start, `explicit` those of `load_models`; `poll` is `none`, and
            what changes in the repositories is followed.
        repository_poll_secs: how often `poll` looks at the repositories.
        load_models: models to load at the start in explicit mode; `("*",)` for all.
        model_namespacing: several repositories may have models of the same name: each is known by `REPOSITORY/NAME`, and by
            its name while no other of that name is loaded.
        model_config_name: `configs/<model_config_name>.pbtxt` in a model's folder is its configuration, where there is one.
        auto_complete_config: fill what a configuration leaves out from the model file.
        backend_config: backend -> setting -> value, as `--backend-config` gives them.
        exit_on_error: a repository that does not exist is an error; else the engine starts without any model and is
            neither live nor ready, as Triton.
        strict_readiness: not ready while a model that was asked for is not.
        model_load_thread_count: models that load at the same time.
        response_cache_byte_size: bytes of answers to keep, for models whose configuration wants that; 0 for no cache.
        rate_limit: `execution_count` lets models share resources, and `off` ignores what models say of that.
        rate_limit_resources: how much there is, each `NAME:COUNT` or `NAME:COUNT:DEVICE`; only with `execution_count`.
        max_pending_bytes: bytes of input that requests which are not answered yet may hold together; None for a quarter
            of the memory that this process may use.
        allow_model_control_config: `load` takes a configuration; likewise allow_model_control_files.
        server_id: the name in the server metadata.
    """

    model_control_mode: Literal["none", "poll", "explicit"] = "none"
    repository_poll_secs: float = 15
    load_models: tuple[str, ...] = ()
    model_namespacing: bool = False
    model_config_name: str = ""
    auto_complete_config: bool = True
    backend_config: BackendConfig = field(default_factory=dict)
    exit_on_error: bool = True
    strict_readiness: bool = True
    model_load_thread_count: int = 4
    response_cache_byte_size: int = 0
    rate_limit: Literal["off", "execution_count"] = "off"
    rate_limit_resources: tuple[str, ...] = ()
    max_pending_bytes: int | None = None
    allow_model_control_config: bool = True
    allow_model_control_files: bool = True
    server_id: str = "triton"
