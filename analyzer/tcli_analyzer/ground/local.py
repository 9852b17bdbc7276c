"""A model of a repository, measured in processes of this machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.data import DataSource, Look, Suited, hints_of, suit
from tcli_analyzer.data.asking import AskedApart
from tcli_analyzer.ground import Ground
from tcli_analyzer.ground.loads import loads_of
from tcli_analyzer.ground.state import with_state
from tcli_analyzer.guard import LOWER_PRECISION, ROUNDING, Guard, GuardOptions
from tcli_analyzer.measuring.stopping import unless_stopped
from tcli_analyzer.notes import model_notes
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.space import facts_here, find_engines, make_variants
from tcli_analyzer.subject import check_one_answer, examine, find_model, served_model_file
from tcli_analyzer.variant.asked import ANSWER_SECONDS
from tcli_analyzer.workspace import Workspace

_LEAST_PATIENCE = 30.0
"""Seconds to load the model in, however short the whole analysis is to be."""


@contextmanager
def local_ground(
    options: AnalysisOptions, workspace: Workspace, note: Callable[[str], None], stop: threading.Event
) -> Iterator[Ground]:
    """Examine the model, and be ready to measure it.

    Args:
        workspace: entered by the caller, who can take the rewritten model file from it before leaving.
        note: told about slow steps.

    Raises:
        LoadDiedError: loading it crashes, hangs or takes more memory than there is.
        ServerError: the model cannot be loaded as it is.
        DataError: inputs are wrong, or the model takes none that were tried.
        SpaceError: what is to be tried is too much, or cannot be had here.
        Stopped: the user asked to stop.
    """
    folder = find_model(options.repositories, options.model)
    given = DataSource(
        options.inputs, {name: tuple(shape) for name, shape in options.shapes.items()}, seed=options.seed
    )
    patience = load_patience(options.most_seconds)
    note(f"loading the model (given up after {_span(patience)}) ...")
    with AskedApart(workspace.current, options.model, stop, options.memory, patience) as asked:
        complete = asked.config
        check_one_answer(complete)
        file = served_model_file(folder, complete)
        suited = suit(given, complete, asked, hints_of(complete, file))
    look = suited.source.look(complete)
    shapes = {one.name: look.shapes[one.name] for one in complete.input if -1 in one.dims and one.name in look.shapes}
    subject = unless_stopped(lambda: examine(folder, complete, shapes, workspace, note), stop)
    facts = facts_here()
    engines = find_engines(subject.base, file.name, facts)
    space = options.space.space(facts, subject.base, engines, subject.batches)
    space = replace(space, max_batch_sizes=subject.batch_sizes(space.max_batch_sizes))
    space, state_notes = with_state(space, complete)
    rewritten = subject.batchable is not None
    variants = make_variants(space, subject.current, subject.base, engines, facts, file.name, rewritten)
    subject = replace(subject, current=variants.configurations[0])
    repositories = {False: workspace.current, True: workspace.rewritten}
    with LocalBench(repositories, options.model, suited.source, stop, options.memory) as bench:
        yield Ground(
            subject=subject,
            space=space,
            variants=variants,
            loads=loads_of(space, complete, options),
            source=suited.source,
            bench=bench,
            guard=Guard(
                repositories, options.model, subject.current, suited.source, stop, _guard_options(options), note
            ),
            notes=(
                *model_notes(subject),
                *_input_notes(suited, look, complete, options),
                *look.notes,
                *state_notes,
                *variants.notes,
            ),
            where="this machine",
            limit=lambda: bench.limit,
        )


def load_patience(most_seconds: float | None) -> float:
    """Seconds that the model as it is may take to load, in an analysis that may take so long."""
    return ANSWER_SECONDS if most_seconds is None else min(ANSWER_SECONDS, max(_LEAST_PATIENCE, most_seconds))


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _guard_options(options: AnalysisOptions) -> GuardOptions:
    usual = GuardOptions(memory=options.memory)
    if options.tolerance is None:
        return usual
    return replace(
        usual,
        same_precision=replace(ROUNDING, relative=options.tolerance),
        lower_precision=replace(LOWER_PRECISION, relative=options.tolerance),
    )


def _input_notes(suited: Suited, look: Look, config: ModelConfig, options: AnalysisOptions) -> list[str]:
    """What was found out of inputs, and the sizes that were chosen for dimensions of any size."""
    notes = list(suited.notes)
    if suited.options and suited.notes:
        notes.append(f"the same by hand: {suited.options}")
    chosen = [
        f"{one.name} [{', '.join(map(str, look.shapes[one.name]))}]"
        for one in config.input
        if -1 in one.dims and one.name in look.made_up and one.name not in options.shapes
    ]
    if chosen and not suited.options:
        notes.append(f"variable dimensions are measured as {', '.join(chosen)}; --shape NAME:d1,d2 sets others")
    return notes
