"""What `tcli serve` makes of its options before it loads anything."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from triton_cli.console import fail, warn

if TYPE_CHECKING:
    from tcli_server.observability.access_log import AccessLogOptions
    from tcli_server.observability.metrics_options import MetricsOptions
    from tcli_server.protocols.tls import TlsOptions

_DEFAULT_REPOSITORY = Path("model_repository")
_OBJECT_STORAGE = ("s3:/", "gs:/", "as:/")
"""As `Path` writes the beginning of such addresses."""

_SMALLEST_CACHE = 1024
_DEFAULT_MAX_BATCH_SIZE = "default-max-batch-size"


def one_of(option: str, value: str, *allowed: str) -> None:
    """Refuse a value that an option does not have.

    Raises:
        BadParameter: it is not one of them.
    """
    if value not in allowed:
        raise typer.BadParameter(f"'{value}' is not one of {', '.join(allowed)}", param_hint=option)


def repositories(given: list[Path] | None, must_exist: bool) -> list[Path]:
    """The folders to serve; one that is not there is an error, or a warning where the server starts in any case.

    Raises:
        Exit: a folder is not there, or is an address in object storage.
    """
    chosen = given or [_DEFAULT_REPOSITORY]
    for path in chosen:
        if str(path).startswith(_OBJECT_STORAGE):
            address = str(path).replace(":/", "://", 1)  # of which a path makes one slash
            fail(
                f"model repository '{address}' is in object storage, which is not supported",
                "copy it to a local folder",
            )
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder on the way cannot be searched
            continue
        message = f"model repository '{path}' {_why_no_folder(path)}"
        if not must_exist:
            warn(f"{message}: the server is neither live nor ready")
            continue
        where = "--model-repository names another place, or make it with" if not given else "make one with"
        fail(message, f"{where} 'tcli repo init {path}'")
    return chosen


def _why_no_folder(path: Path) -> str:
    try:
        path.stat()
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be reached ({getattr(error, 'strerror', None) or error})"
    return "is not a folder"


def models_to_load(mode: str, names: list[str]) -> tuple[str, ...]:
    """The models to load at the start.

    Raises:
        Exit: the options contradict each other.
    """
    if names and mode not in ("explicit", "on-demand"):
        fail(
            "--load-model needs --model-control-mode=explicit or on-demand",
            "add that option, or leave --load-model out",
        )
    if "*" in names and len(set(names)) > 1:
        fail("--load-model=* loads every model and cannot be combined with another --load-model")
    return tuple(dict.fromkeys(names))


def tls(
    protocol: Literal["http", "grpc"], one_way: bool, mutual: bool, server_cert: str, server_key: str, root_cert: str
) -> "TlsOptions | None":
    """TLS for a protocol, if it is wanted; files that count for nothing are warned of, as they look like safety."""
    from tcli_server.protocols.tls import TlsOptions

    if root_cert and not mutual:
        warn(f"--{protocol}-root-cert has no effect here: it only counts with --{protocol}-use-ssl-mutual")
    if mutual or one_way:
        return TlsOptions(server_cert, server_key, root_cert, mutual, protocol)
    for option, given in (("server-cert", server_cert), ("server-key", server_key)):
        if given:
            warn(f"--{protocol}-{option} has no effect here: it only counts with --{protocol}-use-ssl")
    return None


def backend_config(settings: list[str], directory: Path | None = None) -> Mapping[str, Mapping[str, str]]:
    """Backend -> setting -> value, from `BACKEND,KEY=VALUE`, or `KEY=VALUE` for every backend, under the empty name.

    Args:
        directory: of backends that are folders with a `model.py`.

    Raises:
        BadParameter: another form.
    """
    from tcli_server.backends.registry import names, settings_of
    from tcli_server.models.draft import BACKEND_DIRECTORY

    config: dict[str, dict[str, str]] = {}
    if directory is not None and directory.is_dir():
        config[""] = {BACKEND_DIRECTORY: str(directory)}
    elif directory is not None:
        warn(f"--backend-directory={directory} has no effect: there is no such folder")
    backends = names(str(directory or ""))
    for setting in settings:
        head, equals, value = setting.partition("=")
        backend, comma, key = head.partition(",")
        if not comma:
            backend, key = "", head
        if not equals or not key:
            raise typer.BadParameter(
                f"'{setting}': expected BACKEND,KEY=VALUE or KEY=VALUE", param_hint="--backend-config"
            )
        if backend and backend not in backends:
            warn(f"--backend-config={setting} has no effect here: there is no backend '{backend}'")
        elif key not in (known := [_DEFAULT_MAX_BATCH_SIZE, *settings_of(backend)]):
            warn(f"--backend-config={setting} has no effect here: {_listed(known)}")
        else:
            config.setdefault(backend, {})[key] = value
    return config


def metrics(given: list[str], is_served: bool) -> "MetricsOptions":
    """Which families there are of the times of requests; warned of where nobody can see them.

    Args:
        is_served: there is a metrics page.

    Raises:
        BadParameter: a setting that there is not.
    """
    from tcli_server.errors import InvalidArgumentError
    from tcli_server.observability.metrics_options import parse_metrics_config

    if given and not is_served:
        warn("--metrics-config has no effect here: --allow-metrics=false leaves the metrics page out")
    try:
        return parse_metrics_config(given)
    except InvalidArgumentError as error:
        raise typer.BadParameter(str(error), param_hint="--metrics-config") from None


def access_log(file: str, form: str, sample: int) -> "AccessLogOptions | None":
    """Where requests are logged, if they are; options that count for nothing are warned of."""
    from tcli_server.observability.access_log import AccessLogOptions

    if file:
        return AccessLogOptions(file, form, sample)  # type: ignore[arg-type]
    for option, is_given in (("--access-log-format", form != "text"), ("--access-log-sample", sample != 1)):
        if is_given:
            warn(f"{option} has no effect here: it only counts with --access-log")
    return None


def byte_count(option: str, given: str) -> int:
    """Bytes of a text like `500000`, `512MB` (millions) or `1.5GiB` (of 1024).

    Raises:
        BadParameter: another form, or nothing.
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([kmgt]?)(i?)b?", given.strip().lower())
    if match is None or (match[3] and not match[2]):
        raise typer.BadParameter(f"'{given}': expected bytes, for example 500MB or 2GiB", param_hint=option)
    size = int(float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2] or " "))
    if size < 1:
        raise typer.BadParameter(f"'{given}': expected at least one byte", param_hint=option)
    return size


def _listed(known: list[str]) -> str:
    return f"{known[0]} is the one setting" if len(known) == 1 else f"the settings are {', '.join(known)}"


def config_name(given: str) -> str:
    """The name of the configurations to use.

    Raises:
        BadParameter: it is none of a file in a folder.
    """
    if any(character in given for character in "/\\\0") or given.startswith("."):
        raise typer.BadParameter(f"'{given}': expected NAME of configs/NAME.pbtxt", param_hint="--model-config-name")
    return given


def cache_size(configs: list[str], byte_size: int) -> int:
    """Bytes of the response cache, 0 for none.

    Raises:
        BadParameter, Exit: not `local,size=BYTES`, or both ways of saying it.
    """
    if configs and byte_size:
        fail("incompatible flags: --cache-config and --response-cache-byte-size say the same", "leave the second out")
    if len({config.partition(",")[0] for config in configs}) > 1:
        fail("multiple cache configurations: there is one cache", "use --cache-config=local,size=BYTES")
    size = byte_size
    for config in configs:
        name, _, setting = config.partition(",")
        key, _, value = setting.partition("=")
        if name == "redis":
            fail("--cache-config=redis is not supported", "use --cache-config=local,size=BYTES")
        if (name, key) != ("local", "size") or not (value.isascii() and value.isdigit() and len(value) < 19):
            raise typer.BadParameter(f"'{config}': expected local,size=BYTES", param_hint="--cache-config")
        size = int(value)
    if configs and not size:
        fail(f"a response cache of {size} bytes holds nothing", f"give it {_SMALLEST_CACHE} bytes or more")
    if size and size < _SMALLEST_CACHE:
        warn(f"a response cache of {size} bytes holds nothing: give it {_SMALLEST_CACHE} bytes or more")
    return size


def rate_limit(mode: str, resources: list[str]) -> tuple[Literal["off", "execution_count"], tuple[str, ...]]:
    """How runs are limited, and how much there is of what they share.

    Raises:
        BadParameter, Exit: not a mode, not `NAME:COUNT[:DEVICE]`, or resources that nobody would look at.
    """
    from tcli_server.errors import InvalidArgumentError
    from tcli_server.scheduling.limits.amounts import parse_amounts

    one_of("--rate-limit", mode.lower(), "off", "execution_count")
    if mode.lower() == "off" and resources:
        fail("--rate-limit-resource needs --rate-limit=execution_count", "add that option, or leave it out")
    try:
        parse_amounts(resources)
    except InvalidArgumentError as error:
        fail(str(error))
    return ("off" if mode.lower() == "off" else "execution_count"), tuple(resources)


def address(given: str) -> str:
    """An address as sockets take it: tritonserver's `ipv6:[::1]` is `::1`."""
    return given.removeprefix("ipv6:").removeprefix("ipv4:").removeprefix("[").removesuffix("]")


def shared_port(option: str, wanted: object) -> bool:
    """Whether a port is shared with other servers.

    Raises:
        Exit: the system has no such thing.
    """
    if wanted and not hasattr(socket, "SO_REUSEPORT"):
        fail(
            f"{option}: this system cannot share a port (it has no SO_REUSEPORT)", "give each server a port of its own"
        )
    return bool(wanted)
