"""What `tcli serve` says of its start, with one process and with several."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from triton_cli.console import answer, fail, warn

if TYPE_CHECKING:
    from tcli_server.observability.log import LogOptions
    from tcli_server.options import EngineOptions
    from tcli_server.serving import ServeOptions, Server
    from tcli_server.workers import Supervisor


def begin_log(options: "LogOptions") -> None:
    """Log as the options say.

    Raises:
        Exit: the file cannot be written.
    """
    from tcli_server.observability.log import configure_log

    check_log(options)
    try:
        configure_log(options)
    except OSError as error:
        fail(f"--log-file: cannot write '{options.file}': {error.strerror}", "name another file")


def check_log(options: "LogOptions") -> None:
    """Whether the log's file can be written, as far as that is known without writing.

    Raises:
        Exit: it cannot.
    """
    from tcli_server.errors import UnavailableError
    from tcli_server.observability.written_file import check_writable

    if options.file:
        try:
            check_writable("log_file", options.file)
        except UnavailableError as error:
            fail(in_options(str(error)))


def show_loaded(
    index: Sequence[Any], repositories: Sequence[Path], options: "EngineOptions", placeholders: Iterable[str]
) -> list[str]:
    """Show how loading went.

    Args:
        index: the entries of a RepositoryIndexResponse.
        placeholders: models whose weights are only a stand-in.

    Returns:
        The models that could not be loaded.
    """
    from triton_cli.serve_view import start_table

    if not index:
        places = ", ".join(str(path) for path in repositories)
        warn(f"no models in {places}: scaffold two with 'tcli repo init {repositories[0]}'")
    table, failed = start_table(index, options, placeholders)
    answer(table)
    return failed


def fail_to_load(failed: Sequence[str]) -> NoReturn:
    """End, as not all models could be loaded."""
    fail(
        f"failed to load all models: {', '.join(failed)}",
        "repair them ('tcli repo check' tells more), or start without them with --exit-on-error=false",
    )


def show_addresses(server: "Server | Supervisor", options: "ServeOptions") -> None:
    """Show where each service listens."""
    from triton_cli.serve_view import address_lines

    answer(address_lines(server, options))


def in_options(message: str) -> str:
    """A server's message about its fields, in the words of this command: they are options of the same names."""
    names = r"\b(http|grpc|metrics|vertex_ai|sagemaker)_(port|address)\b|\b(http|grpc)_(server|root)_(cert|key)\b"
    names += r"|\b(http|grpc)_(header_forward|response_header)_pattern\b"
    names += r"|\b(auth_token_file|http_restricted_api|grpc_restricted_protocol|http_use_ssl_mutual)\b"
    names += r"|\b(access_log|log_file|grpc_engine)\b"
    return re.sub(names, lambda name: f"--{name[0].replace('_', '-')}", message)
