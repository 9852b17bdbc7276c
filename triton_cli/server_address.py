"""The server that a command asks: its options, and what is said where no answer comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from triton_cli.console import fail

if TYPE_CHECKING:
    from tcli_client import Transport


class ProtocolName(StrEnum):
    """What `tcli_client.connect` speaks."""

    HTTP = "http"
    GRPC = "grpc"


Protocol = Annotated[
    ProtocolName | None,
    typer.Option(
        "-i",
        "--protocol",
        metavar="|".join(ProtocolName),
        case_sensitive=False,
        help="How to ask. [default: as the URL says, else http]",
    ),
]
Url = Annotated[
    str,
    typer.Option(
        "-u",
        "--url",
        metavar="URL",
        help="The server: host, host:port, or an http, https, grpc or grpcs URL. Ports are 8000 (HTTP) and "
        "8001 (gRPC) where none is given.",
    ),
]


@contextmanager
def asked(url: str, protocol: ProtocolName | None, timeout: float = 60) -> Iterator["Transport"]:
    """The connection to a server, with every error explained that is not about something else.

    Args:
        timeout: seconds to wait for each answer.
    """
    from tcli_client import ClientError, ServerUnreachableError, connect

    try:
        with connect(url, protocol.value if protocol else None, timeout) as server:
            yield server
    except ServerUnreachableError as problem:
        fail(str(problem), problem.fix or "start a server with `tcli serve`, or say where it is with --url")
    except ClientError as problem:
        fail(str(problem), problem.fix)
