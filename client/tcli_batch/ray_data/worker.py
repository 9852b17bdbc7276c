"""What runs on the nodes: the look at all the data, and the actors that work at shares of it."""

import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tcli_batch.addresses import is_address
from tcli_batch.answering import Answering, JobOptions
from tcli_batch.block import Cursor, Refusal
from tcli_batch.errors import DataError, JobError
from tcli_batch.job import Job
from tcli_batch.local import LocalTransport
from tcli_batch.mapping import parse_map
from tcli_batch.outputs import Form, Layout, PartWriter
from tcli_batch.outputs.forms import form_of
from tcli_batch.ranking import default_classes
from tcli_batch.ray_data.output import Output
from tcli_batch.ray_data.shares import Share, cut
from tcli_batch.signature import Signature, read_signature
from tcli_batch.sources.kinds import DataFile
from tcli_client import ClientError
from tcli_client.tensors import Array
from tcli_server.errors import ServerError
from tcli_server.hardware.cores import usable_cores
from tcli_server.hardware.share import share_machine


@dataclass(frozen=True)
class Task:
    """What all actors of a job are told.

    Attributes:
        folder: in which the driver was started: what plain names are relative to.
        repository: of models, which each node finds there.
        mapped: INPUT=COLUMN, as given on a command line.
        choose_classes: give as many as suit the data and the model.
        cores: of each actor.
    """

    folder: str
    repository: str
    files: Sequence[DataFile]
    options: JobOptions
    mapped: Sequence[str]
    choose_classes: bool
    cores: int


@dataclass(frozen=True)
class Plan:
    """What one node found out about a job.

    Attributes:
        options: with what was open filled in.
        identity: what must be the same for the job to be gone on with.
    """

    signature: Signature
    options: JobOptions
    total: int
    mapping: dict[str, tuple[str, ...]]
    shares: list[Share]
    identity: dict[str, Any]


def plan(task: Task) -> "Plan | ClientError":
    """Look at all the data, as the job's first task: it runs where the data and the model are.

    An error is returned, as Ray would wrap one that is raised.
    """
    try:
        with _engine(task) as server:
            options = task.options
            if task.mapped:
                signature = read_signature(server, options.model, options.version)
                options = replace(options, given=parse_map(signature, task.mapped))
            classes = options.classes
            if task.choose_classes:
                classes = default_classes(server, options.model, options.version, task.files)
            options = replace(options, classes=classes, raw=options.raw or not classes)
            job = Job(server, task.files, options)
            shares = cut(task.files, job.kinds)
            identity = job.identity(job.mapping)
            return Plan(job.signature, options, job.total, job.mapping, shares, identity)
    except (ClientError, ServerError) as problem:
        return _plain(problem)


class Worker:
    """An actor: holds the model, and works at one share after the other."""

    def __init__(self, task: Task, out: str) -> None:
        self._problem: ClientError | None = None
        try:
            self._server = _engine(task)
            self._answering = Answering(self._server, task.files, task.options)
            self._output = Output(out)
            self._ending = Path(out)
            self._layout = layout_of(self._answering)
            form_of(self._ending).begin(self._layout)
            if not self._output.seen:
                raise JobError(
                    f"node {_node()} does not see the output '{out}'",
                    "let it be an address, or in a folder that all nodes share",
                )
        except (ClientError, ServerError) as problem:  # told with the first share
            self._problem = _plain(problem)

    def __call__(self, batch: dict[str, Array]) -> dict[str, Any]:
        told: dict[str, list[Any]] = {"share": [], "rows": [], "refused": [], "problem": [], "fix": [], "of_data": []}
        columns = ("number", "start_file", "start_row", "stop_file", "stop_row")
        for number, *places in zip(*(batch[name].tolist() for name in columns), strict=True):
            rows = refused = 0
            problem = self._problem
            if problem is None:
                try:
                    rows, refused = self._work(Share(number, Cursor(*places[:2]), Cursor(*places[2:])))
                except (ClientError, OSError) as found:
                    problem = _plain(found)
            told["share"].append(number)
            told["rows"].append(rows)
            told["refused"].append(refused)
            told["problem"].append(str(problem) if problem else "")
            told["fix"].append(problem.fix if problem else "")
            told["of_data"].append(isinstance(problem, DataError))
        return told

    def _work(self, share: Share) -> tuple[int, int]:
        _check_seen(self._answering.files[share.start.file])
        form = form_of(self._ending)
        form.begin(self._layout)
        refusals: list[Refusal] = []
        rows = 0
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "rows"
            writer: PartWriter | None = None
            for results, answers in self._answering.results(share.start, end=share.stop):
                refusals += answers.refusals
                rows += len(results)
                if len(results):
                    form.check(results)
                    writer = writer or form.part(written)
                    writer.write(results)
            part = None
            if writer is not None:
                writer.close()
                part = _whole(form, written)
            self._output.commit(share.number, part, refusals, rows)
        return rows, len(refusals)


def share_columns(shares: Sequence[Share]) -> list[dict[str, int]]:
    """Shares as rows of a dataset, as `Worker` takes them."""
    return [
        {
            "number": share.number,
            "start_file": share.start.file,
            "start_row": share.start.row,
            "stop_file": share.stop.file,
            "stop_row": share.stop.row,
        }
        for share in shares
    ]


def take_cores(cores: int) -> None:
    """This process is an actor that was given so many cores: the engine's threads are as many, and its memory a part of the node's."""
    everywhere = os.cpu_count() or cores
    share_machine(max(1, everywhere // cores), cores)
    usable_cores.cache_clear()


def load(repository: str, model: str, version: str = "") -> LocalTransport:
    """A model on this node.

    Raises:
        JobError: it does not load; says on which node.
    """
    if not Path(repository).is_dir():
        raise JobError(
            f"node {_node()} has no model repository '{repository}'",
            "it must be in the same place on every node, or in a folder that all nodes share",
        )
    server = LocalTransport(repository, [model])
    if server.model_ready(model, version):
        return server
    reasons = [entry.reason for entry in server.index() if entry.name == model and entry.reason]
    known = sorted({entry.name for entry in server.index()})
    server.close()
    why = (
        reasons[0] if reasons else f"there is no such model or version; the repository has {', '.join(known) or 'none'}"
    )
    raise JobError(f"node {_node()} cannot run model '{model}': {why}")


def layout_of(answering: Answering) -> Layout:
    """What each row of the answers has."""
    return Layout(answering.signature.outputs, answering.options.raw, answering.ranking.counts)


def _engine(task: Task) -> LocalTransport:
    take_cores(task.cores)
    with suppress(OSError):  # where all is named by address, or from the root, it does not matter
        os.chdir(task.folder)
    return load(task.repository, task.options.model, task.options.version)


def _whole(form: Form, part: Path) -> Path:
    """A part as a file of its own."""
    whole = part.with_name("whole")
    form.merge([part], whole)
    return whole


def _check_seen(file: DataFile) -> None:
    if not is_address(file.name) and not Path(file.name).exists():
        raise DataError(
            f"node {_node()} does not see '{file.name}'",
            "let the data have addresses, or be in a folder that all nodes share",
        )


def _plain(problem: Exception) -> ClientError:
    """An error that can be sent from one process to another."""
    kind = DataError if isinstance(problem, DataError) else JobError
    return kind(str(problem), getattr(problem, "fix", ""))


def _node() -> str:
    return socket.gethostname()
