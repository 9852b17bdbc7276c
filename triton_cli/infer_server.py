"""Who answers `tcli infer`: a server, or the models of a repository in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from triton_cli.console import err, fail, printable
from triton_cli.server_address import ProtocolName, asked

if TYPE_CHECKING:
    from tcli_client import Transport

REPOSITORY = "model_repository"


@dataclass(frozen=True)
class Place:
    """Where the models are.

    Attributes:
        url: empty where none was given: if nothing listens where a server usually does, and there is a repository in this
            folder, its models run here.
        local: run the models here in any case.
        repository: of the models that run here; None for the one in this folder.
        models: those that are needed here; all of the repository where none is named.
    """

    url: str
    protocol: ProtocolName | None
    local: bool
    repository: Path | None
    models: tuple[str, ...]

    @contextmanager
    def asked(self, protocol: ProtocolName | None = None) -> Iterator["Transport"]:
        """What is to be asked.

        Args:
            protocol: where the user did not say; None for what the URL says.

        Raises:
            typer.BadParameter: the options contradict each other.
            typer.Exit: it cannot be asked, or not any more; that has been said.
        """
        here = self.local or self.repository is not None
        if here and (self.url or self.protocol):
            hint = "--url" if self.url else "--protocol"
            raise typer.BadParameter("no server is asked where the models run in this process", param_hint=hint)
        wanted = self.protocol or protocol
        if here or (not self.url and _nobody_listens(wanted)):
            with _here(self.repository or Path(REPOSITORY), self.models, said=not here) as server:
                yield server
            return
        with asked(self.url or "localhost", wanted) as server:
            yield server


def _nobody_listens(protocol: ProtocolName | None) -> bool:
    """Whether there is no server at localhost, and a repository in this folder."""
    from tcli_client import ClientError, ServerUnreachableError, connect

    if not Path(REPOSITORY).is_dir():
        return False
    try:
        with connect("localhost", protocol.value if protocol else None, timeout=5) as server:
            server.live()
    except ServerUnreachableError:
        return True
    except ClientError:
        return False
    return False


@contextmanager
def _here(repository: Path, models: Sequence[str], said: bool) -> Iterator["Transport"]:
    from tcli_batch import LocalTransport
    from tcli_client import ClientError
    from tcli_server.errors import ServerError

    if not repository.is_dir():
        fail(f"there is no model repository '{repository}'", "make one with `tcli repo init`, or name one")
    if said:
        err().print(
            f"note: no server answers at localhost: the models of ./{REPOSITORY} run in this process", markup=False
        )
    try:
        with LocalTransport(repository, models) as server:
            yield server
    except ServerError as problem:
        fail(printable(str(problem)), "")
    except ClientError as problem:
        fail(str(problem), problem.fix)
