"""Models that commands are given by a path, an address or a name of the hub."""

from pathlib import Path
from typing import TYPE_CHECKING

from triton_cli.console import err, fail, printable, warn
from triton_cli.download_view import download_progress

if TYPE_CHECKING:
    from tcli_server.zoo.sources import FetchedModel


def model_on_disk(text: str, repository: Path, name: str | None, force: bool) -> "FetchedModel":
    """The model that is to be added to a repository, fetched where it is not on this machine.

    Raises:
        ServerError: it cannot be had, or the repository has a model of its name and `force` is not given.
        OSError: the cache cannot be written.
    """
    from tcli_server.errors import AlreadyExistsError
    from tcli_server.zoo.sources import FetchedModel, fetch_source, is_remote, parse_source

    if not is_remote(text):
        return FetchedModel(Path(text), None, ())
    target = repository / (name or parse_source(text).name)
    if target.exists() and not force:  # said before it is fetched, which may take long
        raise AlreadyExistsError(f"{target} already exists")
    with download_progress() as watch:
        return fetch_source(text, watch)


def served_repository(text: str) -> Path:
    """The repository in the cache that has the model which `tcli serve` is given.

    Raises:
        typer.Exit: it cannot be had; that was told.
    """
    from tcli_server.zoo.sources import is_remote, own_repository
    from triton_cli.repo_folder import told

    if not is_remote(text):
        fail(f"'{text}' is no address and no hf:ORG/NAME", f"to serve a folder of models: --model-repository {text}")
    with told(Path(text)), download_progress() as watch:
        own = own_repository(text, watch)
    if own.warning is not None:
        warn(own.warning)
    for note in own.notes:
        err().print(printable(f"note: {note}"), markup=False)
    return own.path
