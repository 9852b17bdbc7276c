"""`tcli analyze`: find the best configuration of a model."""

import shlex
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from triton_cli.analyze_apply import NOT_APPLIED, apply_found, apply_written, has_ended, note_end
from triton_cli.analyze_compare import compare
from triton_cli.analyze_failures import end_unmeasured, telling
from triton_cli.analyze_settings import Asked, Settled, settle
from triton_cli.analyze_together import analyze_several, chosen_models
from triton_cli.analyze_what_if import answer_what_if
from triton_cli.console import EXIT_WRONG, answer, err, fail, out, outlive_readers
from triton_cli.results_folder import ready_folder
from triton_cli.signals import EXIT_INTERRUPTED, stop_on_signals

if TYPE_CHECKING:
    from tcli_analyzer.analysis import Analysis


class AnalyzeGroup(TyperGroup):
    """Says how a model is named to who writes it where only `compare` can stand."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0]
        if word not in self.commands and not word.startswith("-"):
            fail(f"'{word}' is no command", f"a model is named by -m: tcli analyze -m {word}", EXIT_WRONG)
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=AnalyzeGroup, rich_markup_mode=None, subcommand_metavar="[compare A B]", add_completion=False)
app.command("compare")(compare)


@app.callback(invoke_without_command=True)
def analyze(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Model to analyze; without it, the models are listed. Several (repeat it) are analyzed running together.",
        ),
    ] = None,
    model_repository: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Model repository (repeatable). [default: ./model_repository]"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML file with any of these options, or one of Model Analyzer's."),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            metavar="throughput|latency",
            help="What is best: most inferences per second, or lowest p99. [default: throughput]",
        ),
    ] = "",
    latency_budget: Annotated[
        float | None,
        typer.Option(metavar="MS", help="Consider only points whose p99 latency is at most this."),
    ] = None,
    slo: Annotated[
        str,
        typer.Option(metavar="p99<=50ms", help="Find the highest rate of requests that keeps this."),
    ] = "",
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Largest relative difference of answers, where a variant can change them. [default: what is rounding]",
        ),
    ] = None,
    tie: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="Differences up to this do not matter; the simplest is taken. [default: 2]",
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=W",
            help="How much a model of several counts (repeatable). [default: 1]",
        ),
    ] = None,
    search: Annotated[
        str,
        typer.Option(
            metavar="quick|grid|optuna",
            help="Predict and measure little, measure everything, or ask Optuna. [default: quick]",
        ),
    ] = "",
    max_time: Annotated[
        str, typer.Option(metavar="TIME", help="How long it may take, about, such as 90s or 10m.")
    ] = "",
    batch_sizes: Annotated[str, typer.Option(metavar="N,N,...", help="Values of max_batch_size.")] = "",
    instance_counts: Annotated[str, typer.Option(metavar="N,N,...", help="Numbers of instances.")] = "",
    concurrency: Annotated[str, typer.Option(metavar="N,N,...", help="Numbers of outstanding requests.")] = "",
    request_rates: Annotated[str, typer.Option(metavar="N,N,...", help="Requests a second, instead.")] = "",
    arrivals: Annotated[
        str,
        typer.Option(
            metavar="poisson|constant|FILE",
            help="How requests of a rate come; FILE: as recorded. [default: poisson]",
        ),
    ] = "",
    arrivals_speed: Annotated[
        str,
        typer.Option(
            metavar="N,N,...",
            help="A recorded FILE so many times as fast, such as 1,2. [default: 1]",
        ),
    ] = "",
    arrivals_window: Annotated[
        str,
        typer.Option(metavar="FROM-TO", help="Only these seconds of a recorded FILE, such as 0-60 or 30-."),
    ] = "",
    client_batch_sizes: Annotated[str, typer.Option(metavar="N,N,...", help="Items in a request. [default: 1]")] = "",
    queue_delays: Annotated[str, typer.Option(metavar="TIME,...", help="max_queue_delay, such as 0,500us,1ms.")] = "",
    preferred_batch_sizes: Annotated[
        str, typer.Option(metavar="N+N,...", help="Sets of preferred sizes, such as none,4,4+8.")
    ] = "",
    threads: Annotated[str, typer.Option(metavar="N,N,...", help="Threads of an instance, such as auto,1,2.")] = "",
    engines: Annotated[str, typer.Option(metavar="NAME,...", help="Backends, such as onnxruntime,openvino.")] = "",
    providers: Annotated[str, typer.Option(metavar="NAME,...", help="Execution providers, such as cpu,cuda.")] = "",
    precisions: Annotated[str, typer.Option(metavar="NAME,...", help="Such as f32,bf16.")] = "",
    graph_levels: Annotated[str, typer.Option(metavar="NAME,...", help="Graph optimization, such as all,basic.")] = "",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:D1,D2",
            help="Shape of an input with -1 dimensions, without the batch (repeatable).",
        ),
    ] = None,
    input: Annotated[  # noqa: A002 - the name of the option
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Real inputs: pictures, .npy, JSON, raw files, a folder of them (repeatable). [default: made up]",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", "-u", metavar="HOST:PORT", help="Measure on this server."),
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", "-i", metavar="http|grpc", help="How it is asked.")] = "",
    as_is: Annotated[bool, typer.Option("--as-is", help="Change nothing there: measure what is loaded.")] = False,
    measurement_interval: Annotated[
        float | None, typer.Option(metavar="MS", help="Least length of a measurement window. [default: 500]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=999_999_999, help="Of everything random. [default: 0]")
    ] = None,
    memory_limit: Annotated[
        int | None,
        typer.Option(
            metavar="MIB", min=1, help="Memory that the process of a configuration may hold. [default: what is free]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the results. [default: ./analysis/NAME]"),
    ] = None,
    what_if: Annotated[
        bool,
        typer.Option("--what-if", help="Predict from an earlier analysis of the model, and measure nothing."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run was cut off: its measurements count.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put the recommendation into the repository; the old config becomes .bak.")
    ] = False,
    png: Annotated[bool, typer.Option("--png", help="Write the report's charts as PNG files, too.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write the report as Markdown, too: for pull requests.")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write every request's latency as Parquet, too. [needs tcli[parquet]]")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Find the best configuration of a model: batch size, instances, threads, engine, precision and more.

    Loads the model in processes of its own, or uses a server that you name; predicts what every configuration does from a few
    measurements, lets the best race each other, and writes results as CSV and JSON, report.html and a recommended config.pbtxt.
    Your repository is not changed unless you say --apply. Ctrl-C ends early and keeps what was measured; --resume goes on.

    \b
    Examples:
      tcli analyze --model densenet_onnx
      tcli analyze -m efficientnet_lite0 --latency-budget 50
      tcli analyze -m efficientnet_lite0 --slo "p99<=50ms" --input photos/
      tcli analyze -m my_model --search grid --batch-sizes 1,8 --concurrency 1,16 --json
      tcli analyze -m my_model --url localhost:8001 -i grpc
      tcli analyze -m densenet_onnx -m efficientnet_lite0 --weight densenet_onnx=2
      tcli analyze -m my_model --what-if --request-rates 40,80 --queue-delays 0,2ms
      tcli analyze compare analysis/before analysis/my_model
    """
    if context.invoked_subcommand is not None:
        return
    spaces = {
        "batch_sizes": batch_sizes,
        "instance_counts": instance_counts,
        "client_batch_sizes": client_batch_sizes,
        "concurrency": concurrency,
        "request_rates": request_rates,
        "queue_delays": queue_delays,
        "preferred_batch_sizes": preferred_batch_sizes,
        "threads": threads,
        "engines": engines,
        "providers": providers,
        "precisions": precisions,
        "graph_levels": graph_levels,
    }
    outlive_readers()
    models = chosen_models(tuple(model or ()), config, tuple(weight or ()))
    asked = Asked(
        models.single,
        tuple(model_repository or ()),
        spaces,
        objective,
        latency_budget,
        slo,
        tolerance,
        tie,
        search,
        max_time,
        (arrivals, arrivals_speed, arrivals_window),
        tuple(shape or ()),
        tuple(input or ()),
        (url, protocol, as_is),
        measurement_interval,
        seed,
        memory_limit,
        output,
        resume,
        (png, markdown, parquet),
    )
    if models.are_several:
        if what_if:
            raise typer.BadParameter("one model at a time", param_hint="--what-if")
        with stop_on_signals() as stop:
            analyze_several(asked, config, models, apply, json, stop, _resume_command())
        return
    if what_if:
        answer_what_if(asked, config, apply, json)
        return
    settled = settle(asked, config)
    options, folder = settled.options, settled.folder
    if apply and options.server is not None:
        raise typer.BadParameter("a server's repository is out of reach; copy the config.pbtxt", param_hint="--apply")
    ready_folder(folder)
    with stop_on_signals() as stop:
        run(settled, apply, json, stop)


def run(settled: Settled, apply: bool, json: bool, stop: threading.Event) -> None:
    """Analyze one model, show and write what came out, and apply it if that is wanted.

    Raises:
        typer.Exit: it was stopped, or something is wrong; that was told.
    """
    from tcli_analyzer.analyze import analyze as run_analysis
    from tcli_analyzer.exports.parquet import check_parquet
    from tcli_analyzer.journal import AlreadyEndedError
    from tcli_analyzer.output import Wanted, write_output
    from tcli_analyzer.subject import find_model
    from tcli_analyzer.workspace import Workspace
    from triton_cli.analyze_result import show_result
    from triton_cli.analyze_view import live_or_plain

    options, folder, notes, also = settled
    wanted = Wanted(*also)
    console = err() if json else out()
    with telling(options, folder), ExitStack() as stack:
        if wanted.parquet:
            check_parquet()
        options = replace(options, ends_as_before=apply and has_ended(folder, options, also))
        workspace = model = None
        if options.server is None:
            model = find_model(options.repositories, options.model)
            workspace = stack.enter_context(Workspace(model))
        with live_or_plain(console) as observer:
            for note in notes:
                observer.note(note)
            analysis = None
            with suppress(AlreadyEndedError):
                analysis = run_analysis(options, workspace, observer, stop)
        if analysis is None:
            assert model is not None
            if stop.is_set():
                console.print(NOT_APPLIED)
                raise typer.Exit(EXIT_INTERRUPTED)
            apply_written(folder, model, console.print)
            if json:
                answer((folder / "results.json").read_text(encoding="utf-8"))
            return
        if analysis.recommendation is None:
            end_without_results(analysis, folder, json)
        written = write_output(analysis, workspace, folder, wanted)
        note_end(analysis, written)
    show_result(console, analysis, written, _resume_command(), apply and not stop.is_set())
    if json:
        _print_json(analysis)
    if apply:
        apply_found(analysis, written, _resume_command(), console.print, stop)
    if analysis.interrupted or stop.is_set():
        raise typer.Exit(EXIT_INTERRUPTED)
    if analysis.only_current and not analysis.lost_finalists:
        failure = analysis.failures[0]
        fail(f"nothing but the current configuration could be measured; {failure.place}: {failure.reason}")
    if analysis.lost_finalists and analysis.finals is not None:
        point, reason = analysis.finals.failures[0]
        fail(f"nothing could be measured once more for the finals; {point.place}: {reason}")


def end_without_results(analysis: "Analysis", folder: Path, json: bool) -> NoReturn:
    """Ends the command where nothing was measured: the failures are told and written, if the user has not stopped it.

    Raises:
        typer.Exit: always.
        OSError: the folder cannot be written.
    """
    from tcli_analyzer.output import write_failures
    from tcli_analyzer.summary import failures

    if analysis.interrupted or not analysis.failures:
        err().print("stopped before anything was measured")
        raise typer.Exit(EXIT_INTERRUPTED)
    results = write_failures(analysis, folder)
    if json:
        _print_json(analysis)
    end_unmeasured("no configuration could be measured", failures(analysis), results)


def _resume_command() -> str:
    """This command once more, to go on where it ended."""
    arguments = [argument for argument in sys.argv[1:] if argument not in ("--resume", "--apply")]
    return shlex.join(["tcli", *arguments, "--resume"])


def _print_json(analysis: "Analysis") -> None:
    import json

    from tcli_analyzer.results import results_document

    answer(json.dumps(results_document(analysis), indent=2) + "\n")
