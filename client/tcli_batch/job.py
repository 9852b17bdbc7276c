"""One batch job: data through a model into a file."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tcli_batch.asking import Asking
from tcli_batch.block import Answers, Cursor
from tcli_batch.errors import JobError, StoppedError
from tcli_batch.outputs import Layout
from tcli_batch.outputs.forms import form_of
from tcli_batch.parts import Part, Parts, Progress
from tcli_batch.ranking import Ranking
from tcli_batch.reading import Reader
from tcli_batch.results import Results
from tcli_batch.signature import Signature, read_signature
from tcli_batch.sources.kinds import DataFile, Kinds
from tcli_client import Scaling, Transport
from tcli_client.discovery import describe

PART_SECONDS = 5.0
"""A part is finished after so long ..."""

PART_BYTES = 64 << 20
"""... or when it is so large."""


@dataclass(frozen=True)
class JobOptions:
    """What becomes of the data.

    Attributes:
        version: of the model; empty for the highest that is ready.
        given: input -> columns, as `parse_map` gives them.
        scaling: of pictures; None for what the model's configuration says.
        classes: how many of the highest classes to write for each row; 0 for none.
        raw: write the output tensors.
        requests: under way at a time.
        threads: that decode pictures; 0 for one a core.
    """

    model: str
    version: str = ""
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scaling: Scaling | None = None
    classes: int = 0
    raw: bool = True
    requests: int = 8
    threads: int = 0


@dataclass(frozen=True)
class Summary:
    """What a job did.

    Attributes:
        rows: answered, with those that were there before.
        refused: without an answer.
        resumed: rows that were there before.
        seconds: that this run took.
        damaged: what was wrong with what was there before; its rows, and those after it, were asked about again.
    """

    rows: int
    refused: int
    resumed: int
    seconds: float
    damaged: str = ""


class Job:
    """Data through a model.

    Attributes:
        signature: what the model takes and gives.
        mapping: input -> columns, of the first file that has columns.
        total: rows, about where only reading all would tell; 0 where nothing is known.

    Raises:
        DataError: the data does not go with the model.
        OptionError: nor do the options.
        ClientError: no answer.
    """

    def __init__(self, server: Transport, files: Sequence[DataFile], options: JobOptions) -> None:
        self.server = server
        self.options = options
        self.signature = read_signature(server, options.model, options.version)
        self._files = files
        kinds = Kinds(server, self.signature, options.scaling)
        from tcli_server.hardware.cores import usable_cores  # brings the engine with it, which not every user needs

        self._reader = Reader(files, kinds, options.given, options.threads or usable_cores())
        self._ranking = Ranking(self.signature, options.classes)
        self.total = self._reader.check()
        self.mapping = self._reader.mapping()

    def results(
        self,
        start: Cursor = Cursor(),  # noqa: B008
        stop: threading.Event | None = None,
    ) -> Iterator[tuple[Results, Answers]]:
        """Rows from a place on, in order, as they are answered; with what is refused, and where the data goes on.

        Args:
            stop: set from another thread or a signal's handler, ends it soon.

        Raises:
            StoppedError: `stop` was set.
            ClientError: no answer comes any more. What was answered is given first.
        """
        asking = Asking(self.server, self.signature, self.options.requests, stop)
        with asking, closing(self._reader.blocks(start)) as blocks:
            for answers in asking.answers(blocks):
                classes = self._ranking.rank(answers, asking.ask)
                tensors = answers.outputs if self.options.raw else {}
                yield Results(answers.sources, answers.indices, dict(tensors), classes), answers

    def run(
        self,
        out: Path,
        resume: bool = False,
        overwrite: bool = False,
        progress: Callable[[Progress], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> Summary:
        """Write the results to a file.

        Args:
            resume: go on with a job that did not come to its end, if there is one.
            overwrite: begin anew whatever is there.
            progress: called when rows are answered.
            stop: set from another thread or a signal's handler, ends it soon.

        Raises:
            StoppedError: `stop` was set.
            DataError: the file's form cannot hold the model's outputs.
            JobError: something is there already, or cannot be written.
            ClientError: no answer comes any more.

        Whatever ends it, what was answered is kept, and `resume` goes on from there.
        """
        began = time.monotonic()
        stop = stop or threading.Event()
        form = form_of(out)
        form.begin(Layout(self.signature.outputs, self.options.raw, self._ranking.counts))
        parts = Parts(out, form)
        try:
            parts.take()
            _check_place(parts, resume, overwrite)
            if resume and parts.exist:
                before = parts.resume(self._journal(out))
            else:
                parts.begin(self._journal(out))
                before = Progress()
            done = self._write(parts, before, progress, stop)
            parts.finish()
        finally:
            parts.close()
        return Summary(done.rows, done.refused, before.rows, time.monotonic() - began, parts.damaged)

    def _write(
        self, parts: Parts, before: Progress, progress: Callable[[Progress], None], stop: threading.Event
    ) -> Progress:
        done = before
        part: Part | None = None
        began = 0.0
        try:
            for results, answers in self.results(before.after, stop):
                if part is None:
                    part, began = parts.part(), time.monotonic()
                part.add(results, answers.refusals, answers.after)
                done = Progress(done.rows + len(results), done.refused + len(answers.refusals), answers.after)
                progress(done)
                if stop.is_set():
                    raise StoppedError
                if time.monotonic() - began > PART_SECONDS or part.size > PART_BYTES:
                    part.commit()
                    part = None
            if part is not None:
                part.commit()
        except BaseException:  # an interruption, too: what was answered is kept
            if part is not None and part.whole:
                with suppress(JobError):
                    part.commit()
            elif part is not None:
                part.abandon()
            raise
        return done

    def _journal(self, out: Path) -> dict[str, Any]:
        return {
            "format": 1,
            "files": [_identity(file.name) for file in self._files],
            "model": self.signature.model,
            "model_version": self.signature.version,
            "model_digest": _digest(self.server, self.signature),
            "inputs": {name: list(columns) for name, columns in self.mapping.items()},
            "scaling": self.options.scaling.value if self.options.scaling else "",
            "classes": self.options.classes,
            "raw_outputs": self.options.raw,
            "output_form": out.suffix.lower(),
        }


def is_done(out: Path) -> bool:
    """Whether a file is there and no unfinished job for it; what a job that was killed at its very end left behind goes.

    Raises:
        JobError: another process works at it.
    """
    parts = Parts(out, form_of(out))
    if parts.exist or not out.is_file():
        return False
    try:
        parts.take()
        return not parts.exist
    finally:
        parts.close()


def _check_place(parts: Parts, resume: bool, overwrite: bool) -> None:
    if overwrite or (resume and parts.exist):
        return
    if parts.exist:
        raise JobError(
            f"an unfinished job for '{parts.out}' is there", "--resume goes on with it, --overwrite begins anew"
        )
    if parts.out.exists():
        raise JobError(f"'{parts.out}' is there already", "--overwrite replaces it")


def _identity(name: str) -> dict[str, Any]:
    try:
        state = Path(name).stat()
    except OSError:
        return {"name": name}
    return {"name": name, "size": state.st_size, "mtime_ns": state.st_mtime_ns}


def _digest(server: Transport, signature: Signature) -> str:
    """Changes with the configuration of the model and of those it is made of, and with their files where these are here."""
    digest = hashlib.sha256()
    versions, waiting = {signature.model: signature.version}, [signature.model]
    while waiting:
        model = waiting.pop()
        metadata, config = describe(server, model, versions[model])
        for message in (metadata, config):
            if message is not None:
                digest.update(json_format.MessageToJson(message, sort_keys=True).encode())
        if server.address.protocol == "local":
            _digest_files(Path(server.address.path) / model, digest.update)
        for step in config.ensemble_scheduling.step if config else ():
            if step.model_name not in versions:
                versions[step.model_name] = str(step.model_version) if step.model_version > 0 else ""
                waiting.append(step.model_name)
    return digest.hexdigest()


def _digest_files(folder: Path, update: Callable[[bytes], None]) -> None:
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        # Loading a model may leave what Python compiled, and caches.
        if file.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            state = file.stat()
            update(f"{name.as_posix()} {state.st_size} {state.st_mtime_ns}\n".encode(errors="backslashreplace"))
