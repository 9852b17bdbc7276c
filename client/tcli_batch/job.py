"""One batch job: data through a model into a file."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tcli_batch.addresses import is_address
from tcli_batch.answering import Answering, JobOptions
from tcli_batch.errors import JobError, StoppedError
from tcli_batch.outputs import Layout
from tcli_batch.outputs.forms import form_of
from tcli_batch.parts import ERRORS, Part, Parts, Progress
from tcli_batch.sources.kinds import DataFile
from tcli_client import Transport

PART_SECONDS = 5.0
"""A part is finished after so long ..."""

PART_BYTES = 64 << 20
"""... or when it is so large."""


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


class Job(Answering):
    """Data through a model.

    Attributes:
        mapping: input -> columns, of the first file that has columns.
        total: rows, about where only reading all would tell; 0 where nothing is known.

    Raises:
        DataError: the data does not go with the model.
        OptionError: nor do the options.
        ClientError: no answer.
    """

    def __init__(self, server: Transport, files: Sequence[DataFile], options: JobOptions) -> None:
        super().__init__(server, files, options)
        self.total = self.reader.check()
        self.mapping = self.reader.mapping()

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
        self._check_own(out)
        form.begin(Layout(self.signature.outputs, self.options.raw, self.ranking.counts))
        parts = Parts(out, form)
        try:
            parts.take()
            _check_place(parts, resume, overwrite)
            journal = {
                "format": 1,
                "engine": "tcli",
                **self.identity(self.mapping),
                "output_form": out.suffix.lower(),
            }
            if resume and parts.exist:
                before = parts.resume(journal)
            else:
                parts.begin(journal)
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

    def _check_own(self, out: Path) -> None:
        """What the job writes must not be what it reads."""
        for written in (out, out.with_name(out.name + ERRORS)):
            with suppress(OSError):
                there = written.stat()
                for file in self.files:
                    if not is_address(file.name) and os.path.samestat(there, Path(file.name).stat()):
                        raise JobError(f"'{written}' is among the data", "write to another file")


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
