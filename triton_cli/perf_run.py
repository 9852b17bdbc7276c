"""What `tcli perf` does once its options are understood."""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

import typer
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data import DataSource, Look
from tcli_analyzer.load import ClosedLoad, Load, Sequences
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.load.sequences import sequences_of
from tcli_analyzer.perf.csv_report import write_csv
from tcli_analyzer.perf.export import write_export
from tcli_analyzer.perf.measured import Measured
from tcli_analyzer.perf.measurement import NothingAnsweredError, PerfOptions
from tcli_analyzer.perf.session import measure_all
from tcli_analyzer.remote import RemoteTarget, Wire
from tcli_analyzer.remote.connections import allow_connections, connections_note
from tcli_analyzer.remote.server_processes import watched_processes
from tcli_analyzer.stateful import stateful
from tcli_client import Address
from tcli_server.errors import InvalidArgumentError, ServerError
from triton_cli.console import err, fail, is_of_output, out, outlive_readers, silence, warn
from triton_cli.perf_settings import Plan
from triton_cli.perf_view import PerfView
from triton_cli.signals import EXIT_INTERRUPTED, end_at_once, stop_on_signals

EXIT_UNSTABLE = 2
EXIT_FAILED = 99


class Files(NamedTuple):
    """What is written at the end."""

    csv: Path | None
    verbose_csv: bool
    export: Path | None


class Asked(NamedTuple):
    """Which model, and how it is asked."""

    address: Address
    model: str
    version: str
    timeout: float
    wire: Wire
    sequences: Sequences


def run(asked: Asked, source: DataSource, plan: Plan, options: PerfOptions, files: Files, verbose: bool) -> None:
    """Measure, show and write.

    Raises:
        Exit: with perf_analyzer's status, unless all is well.
    """
    _check_writable(files)
    allow_connections()
    outlive_readers()
    results: list[Measured] = []
    view = PerfView(options, verbose)
    problem = ""
    unsaid: OSError | None = None
    with stop_on_signals() as stop:
        try:
            problem = _try(asked, source, plan, options, stop, view, results)
            if results:
                view.summary(results)
        except OSError as error:  # the disk of the output is full, perhaps; that of the files need not be
            unsaid = error
            silence(out())
        if results:
            with end_at_once():  # a pipe that nobody reads would be waited for
                _write(files, results, options)
        if unsaid is not None:
            problem = "; ".join(filter(None, (problem, _about_output(unsaid))))
        if problem:
            _failed(problem)
        if stop.is_set():
            raise typer.Exit(EXIT_INTERRUPTED)
    if all(result.stable is False and not result.over_limit for result in results):
        _say_unstable(results, options)
        raise typer.Exit(EXIT_UNSTABLE)


def _try(
    asked: Asked,
    source: DataSource,
    plan: Plan,
    options: PerfOptions,
    stop: threading.Event,
    view: PerfView,
    results: list[Measured],
) -> str:
    """Measure; what went wrong, for people, and empty where nothing did."""
    try:
        with ExitStack() as opened:
            with end_at_once():  # nothing is measured yet, and a stuck server would be waited for
                target = RemoteTarget(
                    str(asked.address), asked.model, asked.version, timeout=asked.timeout, wire=asked.wire
                )
                opened.enter_context(target)
                config = target.configuration()
            _measure(target, config, asked.sequences, source, plan, options, stop, view, results)
    except ServerError as error:
        fix = getattr(error, "fix", "")
        return f"{error}; {fix}" if fix else str(error)
    except LoadFailedError as error:
        return f"a request failed: {error}"
    except NothingAnsweredError:
        err().print("stopped before anything was measured")
    return ""


def _about_output(problem: OSError) -> str:
    if not is_of_output(problem):
        raise problem
    return f"the output cannot be written: {problem.strerror}"


def _measure(
    target: RemoteTarget,
    config: ModelConfig,
    sequences: Sequences,
    source: DataSource,
    plan: Plan,
    options: PerfOptions,
    stop: threading.Event,
    view: PerfView,
    results: list[Measured],
) -> None:
    _check_batch(config, options.items)
    look = source.look(config)
    _check_shapes(config, look, source)
    requests = source.make(config, options.items)
    pids = watched_processes(target.address)
    view.settings(plan.line, look.summary, str(target.address))
    for note in look.notes:
        warn(note)
    options = replace(options, decoupled=config.model_transaction_policy.decoupled)

    known, played = stateful(config), sequences_of(config, sequences)

    def load_of(value: float) -> Load:
        load = replace(plan.load_of(value), sequences=played)
        if isinstance(load, ClosedLoad):
            if known is not None and (note := known.note(load.concurrency)):
                warn(note)
            if note := connections_note(target.address, load.concurrency):
                warn(note)
            if played is not None and played.ids < load.concurrency:  # of a range without an end
                raise InvalidArgumentError(
                    f"the ids {played.first_id} to {played.last_id} are too few for {load.concurrency} sequences at once; "
                    "allow more with --sequence-id-range"
                )
            return load
        return replace(load, sequences=played.at_rate(load.rate)) if played is not None else load

    for result in measure_all(target, requests, plan.search, load_of, options, stop, pids, view):
        results.append(result)
        view.result(result)


def _check_batch(config: ModelConfig, items: int) -> None:
    if items == 1 or items <= config.max_batch_size:
        return
    if not config.max_batch_size:
        raise InvalidArgumentError(
            f"-b {items}: model '{config.name}' takes no batches (max_batch_size 0); leave out -b"
        )
    raise InvalidArgumentError(
        f"-b {items}: model '{config.name}' takes batches of at most {config.max_batch_size} (max_batch_size)"
    )


def _check_shapes(config: ModelConfig, look: Look, source: DataSource) -> None:
    for tensor in config.input:
        said = tensor.name in source.shapes or any(_says_shape(text, tensor.name) for text in source.given)
        if tensor.name in look.made_up and not said and any(dim < 0 for dim in tensor.dims):
            raise InvalidArgumentError(
                f"input '{tensor.name}' has dimensions of any size, {list(tensor.dims)}: say which to send, such as "
                f"--shape {tensor.name}:{','.join(str(dim) if dim > 0 else '1' for dim in tensor.dims)}"
            )


def _says_shape(text: str, name: str) -> bool:
    """Whether it is `NAME:d1,d2`."""
    return text.startswith(f"{name}:") and text[len(name) + 1 :].replace(",", "").isdecimal()


def _check_writable(files: Files) -> None:
    for path in (files.csv, files.export):
        if path is None:
            continue
        if not path.parent.is_dir():
            _failed(f"cannot write {path}: there is no folder {path.parent}")
        if path.is_dir():
            _failed(f"cannot write {path}: it is a folder")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            _failed(f"cannot write {path}: no permission")


def _write(files: Files, results: Sequence[Measured], options: PerfOptions) -> None:
    """Each file for itself: what one of them lacks, such as room on its disk, is not to cost the other.

    Raises:
        Exit: one was not written.
    """
    problems = []
    if files.csv is not None:
        problems += _written(
            files.csv, "w", lambda file: write_csv(file, results, options.percentile, files.verbose_csv)
        )
    if files.export is not None:
        problems += _written(files.export, "x", lambda file: write_export(file, results))
    if problems:
        _failed("; ".join(problems))


def _written(path: Path, mode: str, write: Callable[[TextIO], None]) -> list[str]:
    try:
        with path.open(mode, encoding="utf-8", newline="") as file:
            write(file)  # type: ignore[arg-type]
    except OSError as problem:
        return [f"cannot write {path}: {problem.strerror}"]
    return []


def _say_unstable(results: Sequence[Measured], options: PerfOptions) -> None:
    windows = results[0].trials
    if results[0].overloaded:
        err().print("error: the load is more than the server can do", markup=False)
        return
    longer = "--measurement-request-count" if options.window_requests else "--measurement-interval"
    err().print(
        f"error: no stable measurement within {windows} windows; try a larger {longer}, or look for what disturbs the machine",
        markup=False,
    )


def _failed(message: str) -> NoReturn:
    try:
        fail(message)
    except typer.Exit:
        raise typer.Exit(EXIT_FAILED) from None
    except OSError:  # nor can this be written
        silence(err())
        raise typer.Exit(EXIT_FAILED) from None
