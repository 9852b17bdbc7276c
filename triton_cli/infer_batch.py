"""`tcli infer -o OUT`, and of data that is no picture: many rows through any model."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from triton_cli.console import EXIT_WRONG, err, fail, out, printable
from triton_cli.infer_server import Place
from triton_cli.infer_view import one_line
from triton_cli.signals import EXIT_INTERRUPTED, stop_on_signals

if TYPE_CHECKING:
    from tcli_batch import DataFile, Job, JobOptions, Progress, Summary
    from tcli_batch.ray_data import RayJob
    from tcli_client import Scaling, Transport


@dataclass(frozen=True)
class BatchOptions:
    """What the command line says about a batch job.

    Attributes:
        output: None for JSON lines on stdout.
        mapped: INPUT=COLUMN, as given.
        classes: None where nothing is said.
        json: print a summary for programs.
    """

    output: Path | None
    mapped: tuple[str, ...]
    classes: int | None
    raw: bool
    resume: bool
    overwrite: bool
    json: bool
    as_bytes: bool
    requests: int

    def __bool__(self) -> bool:
        return bool(self.output or self.mapped or self.raw or self.resume or self.overwrite)


def is_table(argument: str) -> bool:
    """Whether an argument names data that is no picture, as far as its ending tells."""
    from tcli_batch.sources import TABLE_SUFFIXES

    path = Path(argument)
    if path.suffix.lower() in TABLE_SUFFIXES:
        return True
    with suppress(OSError):
        return path.is_dir() and any(entry.suffix.lower() in TABLE_SUFFIXES for entry in path.iterdir())
    return False


def infer_batch(
    place: Place, arguments: list[str], model: tuple[str, str], scaling: "Scaling | None", options: BatchOptions
) -> None:
    """Run one job and say what came of it; exits with 1 where rows have no answer."""
    from tcli_batch import DataError, find_data
    from tcli_batch.outputs.forms import form_of

    if options.resume and options.output is None:
        raise typer.BadParameter("there is nothing to go on with without --output", param_hint="--resume")
    try:
        files = find_data(arguments, options.as_bytes)
        if options.output is not None:
            form_of(options.output)
    except DataError as problem:
        fail(str(problem), problem.fix, EXIT_WRONG)
    with place.asked() as server:
        _run(server, files, model, scaling, options)


def _run(
    server: "Transport",
    files: "list[DataFile]",
    model: tuple[str, str],
    scaling: "Scaling | None",
    options: BatchOptions,
) -> None:
    from tcli_batch import DataError, Job
    from tcli_client import ClientError

    try:
        job = Job(server, files, _job_options(server, files, model, scaling, options))
    except DataError as problem:
        fail(str(problem), problem.fix, EXIT_WRONG)
    introduce(job, options)
    try:
        refused = _to_stdout(job) if options.output is None else _to_file(job, options.output, options)
    except ClientError as problem:
        kept = "" if options.output is None else "; what was answered is kept: --resume goes on from there"
        fail(f"{problem}{kept if not problem.fix else ''}", problem.fix)
    if refused:
        raise typer.Exit(1)


def _job_options(
    server: "Transport",
    files: "list[DataFile]",
    model: tuple[str, str],
    scaling: "Scaling | None",
    options: BatchOptions,
) -> "JobOptions":
    from tcli_batch import JobOptions, parse_map, read_signature
    from tcli_batch.ranking import default_classes

    name, version = model
    name = name or _choose(server, files)
    classes = options.classes
    if classes is None:
        classes = default_classes(server, name, version, files)
    return JobOptions(
        name,
        version,
        parse_map(read_signature(server, name, version), options.mapped),
        scaling,
        classes,
        raw=options.raw or not classes,
        requests=options.requests,
    )


def _choose(server: "Transport", files: "list[DataFile]") -> str:
    from tcli_batch import DataError
    from tcli_client import choose_encoded_model, choose_image_model, served_models

    if files[0].kind == "picture":
        return choose_image_model(server).name
    names = served_models(server)
    if len(names) == 1:
        return names[0]
    if files[0].kind == "bytes":
        return choose_encoded_model(server).name
    raise DataError(
        f"there are {len(names)} models at {server.address}" if names else f"no model is ready at {server.address}",
        f"say which with --model: {', '.join(names)}" if names else "see the server's log for the reason",
    )


def introduce(job: "Job | RayJob", options: BatchOptions) -> None:
    """Say which model is asked, and what goes into it."""
    if options.json and not err().is_terminal:
        return
    signature = job.signature
    err().print(f"model '{one_line(signature.model)}', version {signature.version or '-'}", markup=False)
    for name, columns in job.mapping.items():
        if columns != (name,):
            err().print(f"input '{one_line(name)}' <- {one_line(', '.join(columns))}", markup=False, overflow="fold")


def _to_stdout(job: "Job") -> int:
    from tcli_batch.outputs.json_lines import lines

    refused = 0
    try:
        for results, answers in job.results():
            sys.stdout.buffer.writelines(lines(results))
            sys.stdout.buffer.flush()
            for refusal in answers.refusals:
                refused += 1
                _complain(refusal.source, refusal.index, refusal.reason)
    except BrokenPipeError:
        out().on_broken_pipe()
    return refused


def _complain(source: str, index: int, reason: str) -> None:
    err().print("[bold red]error:[/] ", end="")
    err().print(f"'{one_line(source)}' row {index}: {printable(reason)}", markup=False)


def _to_file(job: "Job", output: Path, options: BatchOptions) -> int:
    from tcli_batch import StoppedError, is_done

    if options.resume and not options.overwrite and is_done(output):
        err().print(f"'{printable(str(output))}' is there, and no unfinished job: nothing to go on with", markup=False)
        return int(Path(f"{output}.errors.jsonl").exists())
    with stop_on_signals() as stop, rows_bar(job.total) as moved:
        try:
            summary = job.run(output, options.resume, options.overwrite, moved, stop)
        except StoppedError:
            summary = None
    if summary is None:
        err().print("interrupted: what was answered is kept; the same command with --resume goes on", markup=False)
        # A request under way, here or in a thread, would keep the process for as long as it takes.
        sys.stdout.flush()
        os._exit(EXIT_INTERRUPTED)
    summarise(job, output, summary, options)
    return summary.refused


def summarise(job: "Job | RayJob", output: Path | str, summary: "Summary", options: BatchOptions) -> None:
    """Say what a job did, and where it wrote that."""
    fresh = summary.rows - summary.resumed
    rate = fresh / summary.seconds if summary.seconds else 0.0
    errors = f"{output}.errors.jsonl"
    if options.json:
        document = {
            "model": job.signature.model,
            "version": job.signature.version,
            "output": str(output),
            "rows": summary.rows,
            "resumed_rows": summary.resumed,
            "refused_rows": summary.refused,
            "errors": errors if summary.refused else None,
            "seconds": round(summary.seconds, 3),
            "rows_per_second": round(rate, 3),
        }
        print(json.dumps(document, indent=2), flush=True)
        return
    before = f", {summary.resumed:,} of them before" if summary.resumed else ""
    err().print(
        f"{_rows(summary.rows)} in '{printable(str(output))}'{before}; {summary.seconds:.1f} s, {rate:,.0f} rows/s",
        markup=False,
    )
    if summary.damaged:
        err().print(
            f"note: of what was there before, {summary.damaged}: its rows and those after it were asked about again",
            markup=False,
        )
    if summary.refused:
        err().print(f"{_rows(summary.refused)} without an answer: see '{printable(errors)}'", markup=False)


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


@contextmanager
def rows_bar(total: int) -> Iterator["Callable[[Progress], None]"]:
    """A bar on stderr where a person looks at it."""
    if not err().is_terminal:
        yield lambda _: None
        return
    from rich import progress as bars
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with bars.Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("rows", total=total or None, rate="")

        def moved(progress: "Progress") -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=progress.rows + progress.refused, rate=f"{speed:,.0f} rows/s" if speed else "")

        yield moved
