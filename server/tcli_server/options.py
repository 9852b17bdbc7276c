"""What can be chosen about an engine."""

from dataclasses import dataclass, field, fields
from typing import Literal

from tcli_server.errors import InvalidArgumentError, UnavailableError
from tcli_server.models.draft import BackendConfig
from tcli_server.models.on_demand_options import OnDemandOptions
from tcli_server.observability.metrics_options import MetricsOptions
from tcli_server.scheduling.limits.amounts import parse_amounts
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.tracing.options import TraceOptions


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine behaves; names and defaults are Triton's where Triton has them.

    Attributes:
        model_control_mode: `none` loads every model at the start, `explicit` those of `load_models`; `poll` is `none`, and
            what changes in the repositories is followed; `on-demand` loads a model when the first request for it comes.
        repository_poll_secs: how often `poll` and `on-demand` look at the repositories; 0 for never.
        load_models: models to load at the start in explicit and on-demand mode; `("*",)` for all, in explicit mode.
        model_namespacing: several repositories may have models of the same name: each is known by `REPOSITORY/NAME`, and by
            its name while no other of that name is loaded.
        on_demand: what is loaded on demand, and how long it stays.
        model_config_name: `configs/<model_config_name>.pbtxt` in a model's folder is its configuration, where there is one.
        auto_complete_config: fill what a configuration leaves out from the model file.
        backend_config: backend -> setting -> value, as `--backend-config` gives them.
        exit_on_error: a repository that does not exist is an error; else the engine starts without any model and is
            neither live nor ready, as Triton.
        strict_readiness: not ready while a model that was asked for is not.
        model_load_thread_count: models that load at the same time.
        model_load_retry_count: how often a version that could not be loaded is tried again, at once.
        response_cache_byte_size: bytes of answers to keep, for models whose configuration wants that; 0 for no cache.
        rate_limit: `execution_count` lets models share resources, and `off` ignores what models say of that.
        rate_limit_resources: how much there is, each `NAME:COUNT` or `NAME:COUNT:DEVICE`; only with `execution_count`.
        max_pending_bytes: bytes of input that requests which are not answered yet may hold together; None for a quarter
            of the memory that this process may use.
        allow_model_control_config: `load` takes a configuration; likewise allow_model_control_files.
        metrics: which families there are of the times of requests.
        trace: which requests are traced, and to where.
        server_id: the name in the server metadata.
    """

    model_control_mode: Literal["none", "poll", "explicit", "on-demand"] = "none"
    repository_poll_secs: float = 15
    load_models: tuple[str, ...] = ()
    model_namespacing: bool = False
    on_demand: OnDemandOptions = field(default_factory=OnDemandOptions)
    model_config_name: str = ""
    auto_complete_config: bool = True
    backend_config: BackendConfig = field(default_factory=dict)
    exit_on_error: bool = True
    strict_readiness: bool = True
    model_load_thread_count: int = 4
    model_load_retry_count: int = 0
    response_cache_byte_size: int = 0
    rate_limit: Literal["off", "execution_count"] = "off"
    rate_limit_resources: tuple[str, ...] = ()
    max_pending_bytes: int | None = None
    allow_model_control_config: bool = True
    allow_model_control_files: bool = True
    metrics: MetricsOptions = field(default_factory=MetricsOptions)
    trace: TraceOptions = field(default_factory=TraceOptions)
    server_id: str = "triton"

    @property
    def takes_control(self) -> bool:
        """Whether clients may load and unload models."""
        return self.model_control_mode in ("explicit", "on-demand")

    def rate_limiter(self) -> RateLimiter | None:
        """What limits executions, where that is wanted.

        Raises:
            InvalidArgumentError: an amount of a resource is none.
        """
        return RateLimiter(parse_amounts(self.rate_limit_resources)) if self.rate_limit == "execution_count" else None

    def check(self) -> None:
        """Whether all that was chosen goes together.

        Raises:
            InvalidArgumentError: it does not.
        """
        contradiction = self._contradiction()
        if contradiction:
            raise InvalidArgumentError(contradiction)

    def check_pushed(self, config: object, files: object) -> None:
        """Whether what comes with a load request may be taken.

        Raises:
            UnavailableError: it may not.
        """
        if config is not None and not self.allow_model_control_config:
            raise UnavailableError(
                "this server takes no configuration with a load request (--allow-model-control-config)"
            )
        if files and not self.allow_model_control_files:
            raise UnavailableError("this server takes no model files with a load request (--allow-model-control-files)")

    def _contradiction(self) -> str:
        """What of the options does not go together, empty if all does."""
        if self.rate_limit not in ("off", "execution_count"):
            return f"invalid argument for --rate-limit: '{self.rate_limit}'; expected off or execution_count"
        if self.rate_limit_resources and self.rate_limit == "off":
            return "--rate-limit-resource needs --rate-limit=execution_count"
        mode, on_demand = self.model_control_mode, self.on_demand
        if self.load_models and not self.takes_control:
            return "--load-model needs --model-control-mode=explicit or on-demand"
        if mode != "on-demand":
            return (
                "" if on_demand == OnDemandOptions() else f"{_first_of(on_demand)} needs --model-control-mode=on-demand"
            )
        if self.model_namespacing:
            return "--model-namespacing does not go with --model-control-mode=on-demand"
        if "*" in self.load_models:
            return (
                "--load-model=* is what --model-control-mode=none does; on-demand loads models when they are asked for"
            )
        return ""


def _first_of(options: OnDemandOptions) -> str:
    """The first option that was chosen, as the command line writes it."""
    default = OnDemandOptions()
    names = {"pin_models": "pin-model"}
    chosen = next(f.name for f in fields(options) if getattr(options, f.name) != getattr(default, f.name))
    return f"--{names.get(chosen, chosen).replace('_', '-')}"
