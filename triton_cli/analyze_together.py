"""`tcli analyze` with several models: configurations for models that share the machine."""

import difflib
import json as json_format
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from triton_cli.analyze_apply import NOT_APPLIED
from triton_cli.analyze_failures import end_unmeasured, telling
from triton_cli.analyze_settings import Asked, settle
from triton_cli.console import EXIT_WRONG, answer, err, fail, out, printable
from triton_cli.results_folder import ready_folder
from triton_cli.signals import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from tcli_analyzer.together.analysis import TogetherAnalysis
    from tcli_analyzer.together.options import TogetherOptions
    from tcli_analyzer.together.output import WrittenTogether

_ALONE_SHARE = 0.4
"""Of the time of all searches, for those of each model alone."""

_FINALS_SHARE = 0.8
"""Of the time that the finals of one model have: with several there is more to load and to examine."""


@dataclass(frozen=True)
class ChosenModels:
    """The models that are named, on the command line or else in the file.

    Attributes:
        weights: of each of several.
    """

    names: tuple[str, ...]
    weights: Mapping[str, float]

    @property
    def are_several(self) -> bool:
        """Whether they are analyzed together."""
        return len(self.names) > 1

    @property
    def single(self) -> str:
        """The first that is named; empty where none is."""
        return self.names[0] if self.names else ""


def chosen_models(named: tuple[str, ...], config: Path | None, weights: tuple[str, ...]) -> ChosenModels:
    """Which models are meant; ends the command where that makes no sense.

    Args:
        weights: texts such as `densenet=2`.
    """
    for name in named:
        if named.count(name) > 1:
            raise typer.BadParameter(f"'{name}' is named twice; name each model once", param_hint="--model")
    entries = _entries(config)
    names = named or tuple(entries)
    if len(names) < 2:
        if weights:
            raise typer.BadParameter(
                "weights are for several models; name two or more with --model", param_hint="--weight"
            )
        return ChosenModels(names, {})
    found = {name: entries.get(name, 1.0) for name in names}
    for text in weights:
        name, value = _weight(text, names)
        found[name] = value
    return ChosenModels(names, found)


def _entries(config: Path | None) -> dict[str, float]:
    """The models of the file and their weights."""
    if config is None:
        return {}
    from tcli_analyzer.space.file import YamlFileError, read_analysis_file

    try:
        return {one.name: one.weight for one in read_analysis_file(config).models}
    except YamlFileError as error:
        fail(str(error), status=EXIT_WRONG)


def _weight(text: str, names: tuple[str, ...]) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}': expected NAME=W, such as {names[0]}=2", param_hint="--weight")
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise typer.BadParameter(f"'{name}' is not analyzed; {hint}models: {', '.join(names)}", param_hint="--weight")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise typer.BadParameter(f"'{number}' for {name}: expected a number above 0", param_hint="--weight")
    return name, value


def analyze_several(
    asked: Asked,
    config: Path | None,
    models: ChosenModels,
    apply: bool,
    json: bool,
    stop: threading.Event,
    resume: str,
) -> None:
    """Analyze them together, show and write what came out.

    Args:
        resume: the command that goes on where this one ends.
    """
    from tcli_analyzer.measuring.watch import Stopped
    from tcli_analyzer.subject import find_model
    from tcli_analyzer.summary import by_reason
    from tcli_analyzer.together.analyze import NothingMeasuredError, PartError, analyze_together
    from tcli_analyzer.together.output import write_together, write_together_failures
    from tcli_analyzer.workspace import Workspace
    from triton_cli.analyze_view import PlainView

    options, folder, notes = _settle(asked, config, models)
    console = err() if json else out()
    observer = PlainView(console)
    with ExitStack() as stack:
        workspaces: dict[str, Workspace] = {}
        for one in options.models:
            with telling(one, folder):
                workspaces[one.model] = stack.enter_context(Workspace(find_model(one.repositories, one.model)))
        ready_folder(folder)
        for note in notes:
            observer.note(note)
        try:
            with telling(options.models[0], folder, options.journal):
                try:
                    analysis = analyze_together(options, workspaces, observer, stop)
                except Stopped:
                    err().print(
                        printable(f"stopped before the models were measured together; go on with: {resume}"),
                        markup=False,
                    )
                    raise typer.Exit(EXIT_INTERRUPTED) from None
                written = write_together(analysis, workspaces, folder)
        except PartError as error:
            with telling(error.options, folder, options.journal):
                raise error.cause from None
        except NothingMeasuredError as error:
            with telling(options.models[0], folder, options.journal):
                results = write_together_failures(error.analysis, folder)
            if json:
                _print_json(error.analysis)
            end_unmeasured(str(error), by_reason(error.analysis.failures()), results)
    _show(console, analysis, written, resume)
    if json:
        _print_json(analysis)
    if apply:
        _apply(console, analysis, written, resume, stop)
    if analysis.interrupted or stop.is_set():
        raise typer.Exit(EXIT_INTERRUPTED)


def _print_json(analysis: "TogetherAnalysis") -> None:
    from tcli_analyzer.together.results import together_document

    answer(json_format.dumps(together_document(analysis), indent=1) + "\n")


def _settle(asked: Asked, config: Path | None, models: ChosenModels) -> "tuple[TogetherOptions, Path, list[str]]":
    from tcli_analyzer.together.options import TogetherOptions

    for given, option in ((asked.shapes, "--shape"), (asked.inputs, "--input")):
        if given:
            raise typer.BadParameter(
                f"with several models, say which model's: in a file of --config, below models: NAME: {option[2:]}:",
                param_hint=option,
            )
    settled = [settle(replace(asked, model=name), config) for name in models.names]
    parts = [one.options for one in settled]
    first, folder, notes, also = settled[0]
    for asked_for, option in zip(also, ("--png", "--markdown", "--parquet"), strict=True):
        if asked_for:
            raise typer.BadParameter("is for one model at a time; leave it out", param_hint=option)
    if first.server is not None:
        raise typer.BadParameter("several models are measured on this machine, not on a server", param_hint="--url")
    if any(one.slo is not None for one in parts):
        raise typer.BadParameter("the highest rate is found for one model at a time; leave it out", param_hint="--slo")
    if folder == Path("analysis") / first.model:
        folder = Path("analysis") / "+".join(models.names)
    search = first.search_seconds * (len(parts) if first.most_seconds is None else 1)
    options = TogetherOptions(
        models=tuple(replace(one, search_seconds=_ALONE_SHARE * search / len(parts), journal=None) for one in parts),
        weights=models.weights,
        most_seconds=first.most_seconds,
        search_seconds=(1 - _ALONE_SHARE) * search,
        finals_seconds=_FINALS_SHARE * first.finals_seconds,
        patience_seconds=first.patience_seconds / 2,
        tie=first.tie,
        window_seconds=first.window_seconds,
        journal=folder / first.journal.name if first.journal is not None else None,
        resume=asked.resume,
    )
    return options, folder, notes


def _show(console: "Console", analysis: "TogetherAnalysis", written: "WrittenTogether", resume: str) -> None:
    """The recommendation, what each model does in it, and where everything is."""
    from tcli_analyzer.recommendation import Outcome

    recommendation = analysis.recommendation
    assert recommendation is not None
    console.print(printable(f"\n{recommendation.sentence()}"), markup=False, style="bold")
    if recommendation.outcome is Outcome.UNDECIDED:
        quiet = ", when the machine is quiet," if recommendation.finals.race.dropped else ""
        console.print(printable(f"Go on{quiet} with: {resume}"), markup=False)
    console.print("")
    for choice in recommendation.chosen.choices:
        weight = analysis.options.weights[choice.model]
        told = f"{choice.model}{f' (weight {weight:g})' if weight != 1 else ''}: {choice.configuration.label}"
        proven = recommendation.outcome is not Outcome.UNDECIDED
        speed = f": {recommendation.numbers(choice.model)}" if proven else ""
        console.print(printable(f"{told}{speed}"), markup=False)
    for note in analysis.notes:
        console.print(printable(f"note: {note}"), markup=False)
    console.print("")
    for model in written.models.values():
        console.print(printable(f"config.pbtxt  {model.config}"), markup=False)
        if model.version is not None:
            console.print(printable(f"model file    {model.version}"), markup=False)
    console.print(printable(f"report        {written.report}"), markup=False)
    console.print(printable(f"results       {written.csv}, {written.json.name}"), markup=False)


def _apply(
    console: "Console", analysis: "TogetherAnalysis", written: "WrittenTogether", resume: str, stop: threading.Event
) -> None:
    """Of all models, or of none."""
    from tcli_analyzer.recommendation import Outcome
    from tcli_analyzer.together.apply import Change, apply_together

    recommendation = analysis.recommendation
    assert recommendation is not None
    if analysis.interrupted or stop.is_set():
        console.print(NOT_APPLIED)
        return
    if recommendation.outcome is Outcome.UNDECIDED:
        fail("not applied: nothing is decided", f"go on with: {resume}")
    if recommendation.outcome is Outcome.KEEP:
        console.print("Nothing to apply: the current configurations are recommended.")
        return
    if not recommendation.may_be_applied:
        fail(
            f"not applied: {recommendation.sentence()}",
            "copy the config.pbtxt files yourself if you want them all the same",
        )
    changes = [
        Change(analysis.parts[name].subject.folder, model.config.read_text(encoding="utf-8"), model.version)
        for name, model in written.models.items()
        if model.changed
    ]
    try:
        said = apply_together(changes)
    except OSError as error:
        fail(f"cannot apply, so nothing is changed: {error.filename}: {error.strerror}", "copy the files yourself")
    console.print("Applied:")
    for change in said:
        console.print(printable(f"  {change}"), markup=False)
