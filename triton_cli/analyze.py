"""`tcli analyze`: find the best configuration of a model on this machine."""

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton_cli.console import err, fail, out, printable

if TYPE_CHECKING:
    from tcli_analyzer.analysis import Analysis
    from tcli_analyzer.options import AnalysisOptions
    from tcli_analyzer.output import Written

EXIT_INTERRUPTED = 130

JOURNAL = "journal.jsonl"
"""Of an output folder, the file that keeps every measurement."""


def analyze(
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="Model to analyze; without it, the models are listed.")
    ] = "",
    model_repository: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Model repository (repeatable). [default: ./model_repository]"),
    ] = None,
    batch_sizes: Annotated[
        str,
        typer.Option(metavar="N,N,...", help="Values of max_batch_size to try; 2 and more with the dynamic batcher."),
    ] = "1,2,4,8",
    instance_counts: Annotated[
        str,
        typer.Option(
            metavar="N,N,...",
            help="Numbers of instances to try. [default: 1 on one core, 1,2 below 8 cores, else 1,2,4]",
            show_default=False,
        ),
    ] = "",
    concurrency: Annotated[
        str, typer.Option(metavar="N,N,...", help="Numbers of outstanding requests to try, one item each.")
    ] = "1,2,4,8,16",
    objective: Annotated[
        str, typer.Option(metavar="throughput|latency", help="What is best: most inferences per second, or lowest p99.")
    ] = "throughput",
    latency_budget: Annotated[
        float | None, typer.Option(metavar="MS", help="Consider only points whose p99 latency is at most this.")
    ] = None,
    measurement_interval: Annotated[
        float, typer.Option(metavar="MS", help="Least length of a measurement window.")
    ] = 500.0,
    tie: Annotated[
        float, typer.Option(metavar="PERCENT", help="Differences up to this do not matter; the simplest is taken.")
    ] = 2.0,
    max_finals_time: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the finalists may race each other at most.")
    ] = 90.0,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:D1,D2", help="Shape of an input with -1 dimensions, without the batch (repeatable)."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the results. [default: ./analysis/NAME]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run was cut off: its measurements count.")
    ] = False,
    memory_limit: Annotated[
        int | None,
        typer.Option(
            metavar="MIB", min=1, help="Memory that the process of a configuration may hold. [default: what is free]"
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put the recommendation into the repository; the old config becomes .bak.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Find the best configuration of a model on this machine: batch size, instances, concurrency.

    Loads the model in processes of its own (no server needed), measures it under load in each configuration, lets the best
    race each other, and writes results as CSV and JSON, report.html and a recommended config.pbtxt. Your repository is not
    changed unless you say --apply. Ctrl-C ends early and keeps what was measured; --resume goes on from there.

    \b
    Examples:
      tcli analyze --model densenet_onnx
      tcli analyze -m efficientnet_lite0 --latency-budget 50
      tcli analyze -m my_model --batch-sizes 1,8 --concurrency 1,16 --json
      tcli analyze -m my_model --objective latency --apply
    """
    repositories = tuple(model_repository or [Path("model_repository")])
    name = model or _ask_for_model(repositories)
    folder = output or Path("analysis") / name
    options = _options(
        name,
        repositories,
        (batch_sizes, instance_counts, concurrency),
        (objective, latency_budget),
        (measurement_interval, tie, max_finals_time),
        shape or [],
    )
    options = replace(
        options,
        memory=memory_limit << 20 if memory_limit is not None else None,
        journal=folder / JOURNAL,
        resume=resume,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot write to {folder}: {error.strerror}", "choose another folder with --output")
    with _stop_on_signals() as stop:
        _run(options, folder, apply, json, stop)


def _ask_for_model(repositories: tuple[Path, ...]) -> str:
    from tcli_server.errors import ServerError
    from tcli_server.repository import model_folders

    try:
        names = ", ".join(sorted(model_folders(repositories))) or "none"
    except ServerError as error:
        fail(str(error), "create one with: tcli repo init, or name one with --model-repository")
    raise typer.BadParameter(f"say which model; models in {_join(repositories)}: {names}", param_hint="--model")


def _options(
    model: str,
    repositories: tuple[Path, ...],
    grid_texts: tuple[str, str, str],
    goal: tuple[str, float | None],
    measurement: tuple[float, float, float],
    shapes: list[str],
) -> "AnalysisOptions":
    from tcli_analyzer.goal import Goal, Objective
    from tcli_analyzer.measuring.visit import VisitOptions
    from tcli_analyzer.options import AnalysisOptions
    from tcli_analyzer.search import Grid, default_instance_counts
    from tcli_server.hardware.cores import usable_cores

    batch_sizes, instance_counts, concurrency = grid_texts
    objective, budget = goal
    if objective not in list(Objective):
        raise typer.BadParameter(f"'{objective}': expected throughput or latency", param_hint="--objective")
    if budget is not None and budget <= 0:
        raise typer.BadParameter(f"{budget:g}: expected milliseconds above 0", param_hint="--latency-budget")
    interval_ms, tie, finals_seconds = measurement
    if interval_ms <= 0:
        raise typer.BadParameter(f"{interval_ms:g}: expected milliseconds above 0", param_hint="--measurement-interval")
    if not 0 < tie < 100:
        raise typer.BadParameter(f"{tie:g}: expected a percentage above 0 and below 100", param_hint="--tie")
    if finals_seconds <= 0:
        raise typer.BadParameter(f"{finals_seconds:g}: expected seconds above 0", param_hint="--max-finals-time")
    grid = Grid(
        _sizes(batch_sizes, "--batch-sizes"),
        _sizes(instance_counts, "--instance-counts") if instance_counts else default_instance_counts(usable_cores()),
        _sizes(concurrency, "--concurrency"),
    )
    return AnalysisOptions(
        model,
        repositories,
        grid,
        Goal(Objective(objective), budget),
        VisitOptions(windows=2, seconds=interval_ms / 1e3, warm_up_seconds=interval_ms / 2e3),
        tie / 100,
        finals_seconds,
        shapes=dict(_shape(text) for text in shapes),
    )


def _sizes(text: str, option: str) -> tuple[int, ...]:
    from tcli_analyzer.search import parse_sizes

    try:
        return parse_sizes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, colon, dims = text.rpartition(":")
    if not name or not colon:
        raise typer.BadParameter(f"'{text}': expected NAME:d1,d2, such as input:224,224,3", param_hint="--shape")
    return name, _sizes(dims, "--shape")


def _run(options: "AnalysisOptions", folder: Path, apply: bool, json: bool, stop: threading.Event) -> None:
    from tcli_analyzer.analysis import DoesNotRunError
    from tcli_analyzer.analysis import analyze as run_analysis
    from tcli_analyzer.inputs import UnknownInputError
    from tcli_analyzer.journal import JournalError
    from tcli_analyzer.measuring.visit import Stopped
    from tcli_analyzer.output import write_output
    from tcli_analyzer.subject import NotAnalyzableError, find_model
    from tcli_analyzer.workspace import Workspace
    from tcli_server.errors import NotFoundError, ServerError
    from triton_cli.analyze_view import live_or_plain, show_result

    console = err() if json else out()
    try:
        model_folder = find_model(options.repositories, options.model)
        with Workspace(model_folder) as workspace:
            with live_or_plain(console) as observer:
                analysis = run_analysis(options, workspace, observer, stop)
            if not analysis.points:
                _nothing_measured(analysis)
            written = write_output(analysis, workspace, folder)
    except NotFoundError as error:
        missing = not all(repository.is_dir() for repository in options.repositories)
        fail(str(error), "create one with: tcli repo init, or name yours with --model-repository" if missing else "")
    except NotAnalyzableError as error:
        fail(str(error), error.fix)
    except UnknownInputError as error:
        raise typer.BadParameter(str(error), param_hint="--shape") from None
    except Stopped:
        err().print("stopped before anything was measured")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except JournalError as error:
        fail(str(error))
    except DoesNotRunError as error:
        fail(f"model '{options.model}' does not run as it is: {error}", error.fix)
    except ServerError as error:
        fail(f"model '{options.model}' does not load as it is: {error}", _load_fix(options))
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}", "free some space, or choose another folder with --output")
    show_result(console, analysis, written, _resume_command())
    if json:
        _print_json(analysis)
    if apply:
        _apply(analysis, written, console.print)
    if analysis.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if analysis.only_current:
        failure = analysis.failures[0]
        fail(f"nothing but the current configuration could be measured; {failure.place}: {failure.message}")


def _resume_command() -> str:
    """This command once more, to go on where it ended."""
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--resume", "--apply")]
    return shlex.join(["tcli", *arguments, "--resume"])


def _load_fix(options: "AnalysisOptions") -> str:
    """`repo check`, where that has more to say than the error."""
    from tcli_analyzer.subject import find_model
    from tcli_server.models.check import check_model

    folder = find_model(options.repositories, options.model)
    if not check_model(folder):
        return ""
    repository = shlex.quote(str(folder.path.parent))
    return f"tcli repo check {shlex.quote(options.model)} --model-repository {repository} says what is wrong with it"


def _nothing_measured(analysis: "Analysis") -> None:
    if analysis.interrupted:
        err().print("stopped before anything was measured")
        raise typer.Exit(EXIT_INTERRUPTED)
    failure = analysis.failures[0]
    fail(f"no configuration could be measured; {failure.place}: {failure.message}")


def _print_json(analysis: "Analysis") -> None:
    import json

    from tcli_analyzer.results import results_document

    sys.stdout.write(json.dumps(results_document(analysis), indent=2) + "\n")


def _apply(analysis: "Analysis", written: "Written", say: Callable[..., Any]) -> None:
    from tcli_analyzer.apply import apply_recommendation
    from tcli_analyzer.recommendation import Outcome

    recommendation = analysis.recommendation
    assert recommendation is not None
    if analysis.interrupted:
        say("Not applied: the analysis was stopped before its end.")
        return
    if recommendation.outcome is Outcome.UNDECIDED:
        fail("not applied: nothing is decided", f"go on with: {_resume_command()}")
    if recommendation.keeps_current:
        say("Nothing to apply: the current configuration is recommended.")
        return
    if not recommendation.may_be_applied:
        fail(f"not applied: {recommendation.sentence()}", f"copy {written.config} yourself if you want it all the same")
    version = written.model_file.parent if written.model_file and written.recommends_model_file else None
    try:
        changes = apply_recommendation(analysis.subject.folder, written.config.read_text(encoding="utf-8"), version)
    except OSError as error:
        fail(f"cannot apply: {error.filename}: {error.strerror}", f"copy {written.config} yourself")
    say("Applied:")
    for change in changes:
        say(printable(f"  {change}"), markup=False)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """The first SIGINT or SIGTERM sets the event, so that what was measured is kept; a second SIGINT ends at once."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _join(paths: tuple[Path, ...]) -> str:
    return ", ".join(map(str, paths))
