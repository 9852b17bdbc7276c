"""Whether a model can be served with the resources that there are, where runs are limited; asked before it is opened."""

from tcli_server.backends import Resource
from tcli_server.errors import ConfigError, InvalidArgumentError
from tcli_server.models.draft import Draft
from tcli_server.scheduling.limits.rate_limiter import RateLimiter


def check_rate_limits(draft: Draft, limiter: RateLimiter) -> None:
    """Refuse what could never run.

    Raises:
        InvalidArgumentError: `rate_limiter` of the configuration is wrong, there is too little of a resource, or another
            model uses it as one of another kind.
    """
    name = draft.folder.name
    problems = draft.rate_limit_problems()
    if problems:
        raise InvalidArgumentError(f"load failed for model '{name}': {ConfigError(problems)}")
    fault = limiter.fault(name, draft.placements)
    if fault is not None:
        raise InvalidArgumentError(f"load failed for model '{name}': {_place(draft, fault.resource)}: {fault.text}")


def _place(draft: Draft, wanted: Resource) -> str:
    """Where the configuration asks for a resource."""
    field = next(
        f"instance_group[{index}].rate_limiter.resources[{number}]"
        for index, group in enumerate(draft.config.instance_group)
        for number, resource in enumerate(group.rate_limiter.resources)
        if (resource.name, resource.count) == (wanted.name, wanted.count)
    )
    line = draft.line(field)
    return f"{draft.folder.config_path}:{line}: {field}" if line is not None else field
