"""`tcli infer --engine ray`: the rows of a batch job answered by many machines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from triton_cli.console import EXIT_WRONG, err, fail, printable
from triton_cli.infer_batch import BatchOptions, introduce, rows_bar, summarise
from triton_cli.infer_server import REPOSITORY
from triton_cli.signals import EXIT_INTERRUPTED, stop_on_signals

if TYPE_CHECKING:
    from tcli_batch import DataFile
    from tcli_batch.ray_data import Cluster, RayJob
    from tcli_client import Scaling


class EngineName(StrEnum):
    """Who gives the rows to the model."""

    TCLI = "tcli"
    RAY = "ray"


@dataclass(frozen=True)
class RayOptions:
    """What the command line says about the cluster.

    Attributes:
        output: a folder, or an address.
        address: of the cluster's head; empty to start one on this machine.
        repository: of models; None for the one in this folder.
    """

    output: str
    address: str
    repository: Path | None


def infer_ray(
    arguments: list[str], model: tuple[str, str], scaling: "Scaling | None", options: BatchOptions, ray: RayOptions
) -> None:
    """Run one job and say what came of it; exits with 1 where rows have no answer."""
    if not model[0]:
        raise typer.BadParameter("name the model: no server can be asked which there are", param_hint="--model")
    if not ray.output:
        raise typer.BadParameter("the answers go into a folder or to an address: name it", param_hint="--output")
    from tcli_batch import DataError, StoppedError, find_data
    from tcli_batch.outputs.forms import form_of
    from tcli_batch.ray_data import connected
    from tcli_batch.ray_data.output import Output
    from tcli_client import ClientError

    try:
        files = find_data(arguments, options.as_bytes)
        form_of(Path(ray.output))
        output = Output(ray.output)
        if options.resume and output.written and not output.unfinished:
            err().print(
                f"'{printable(ray.output)}' is there, and no unfinished job: nothing to go on with", markup=False
            )
            return
        with _silent(), connected(ray.address) as cluster, stop_on_signals() as stop:
            job = _job(cluster, files, model, scaling, options, ray)
            introduce(job, options)
            with rows_bar(job.total) as moved:
                summary = job.run(ray.output, options.resume, options.overwrite, moved, _say_lost, stop)
    except StoppedError:
        err().print("interrupted: what was answered is kept; the same command with --resume goes on", markup=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except DataError as problem:
        fail(str(problem), problem.fix, EXIT_WRONG)
    except (ClientError, OSError) as problem:
        fail(str(problem), getattr(problem, "fix", ""))
    summarise(job, ray.output, summary, options)
    if summary.refused:
        raise typer.Exit(1)


def _job(
    cluster: "Cluster",
    files: "list[DataFile]",
    model: tuple[str, str],
    scaling: "Scaling | None",
    options: BatchOptions,
    ray: RayOptions,
) -> "RayJob":
    from tcli_batch import JobOptions
    from tcli_batch.ray_data import RayJob

    name, version = model
    classes = options.classes or 0
    given = JobOptions(name, version, scaling=scaling, classes=classes, raw=options.raw, requests=options.requests)
    # Nodes of this machine find the repository from anywhere; on others it is where it is on this one.
    repository = os.path.abspath(ray.repository or REPOSITORY)  # noqa: PTH100  links stay as the nodes know them
    return RayJob(cluster, repository, files, given, options.mapped, choose_classes=options.classes is None)


def _say_lost(shares: int) -> None:
    what = "share" if shares == 1 else "shares"
    err().print(f"note: {shares} {what} of the data were lost with a node of the cluster, and are given to others")


@contextmanager
def _silent() -> Iterator[None]:
    """Ray prints what its nodes say to stdout, which is for answers."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield
