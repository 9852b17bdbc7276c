"""A model on a server, whose configurations are given to it through its load API."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from tcli_analyzer.bench.remote import RemoteBench
from tcli_analyzer.data import DataSource
from tcli_analyzer.ground import Ground
from tcli_analyzer.ground.loads import loads_of
from tcli_analyzer.ground.state import with_state
from tcli_analyzer.notes import model_notes
from tcli_analyzer.options import AnalysisOptions, RemoteServer
from tcli_analyzer.remote.connections import connections_note
from tcli_analyzer.remote.server_processes import server_processes
from tcli_analyzer.remote.subject import examine_remote
from tcli_analyzer.space import Variants, facts_elsewhere, make_variants, own_engine
from tcli_analyzer.subject import defaults_of


@contextmanager
def remote_ground(
    options: AnalysisOptions,
    server: RemoteServer,
    note: Callable[[str], None],
    warn: Callable[[str], None],
    stop: threading.Event,
) -> Iterator[Ground]:
    """Examine the model, and be ready to measure it; what was loaded before is put back in the end.

    Args:
        note: told about slow steps.
        warn: told what is left to do where it could not be put back, however this ends.

    Raises:
        RemoteError: the server cannot be asked, or takes no configurations.
        NotAnalyzableError, UnknownInputError, DataError, SpaceError: as their names say.
    """
    bench = RemoteBench(server.url, options.model, stop, protocol=server.protocol, as_is=server.as_is)
    try:
        with bench:
            yield _ground(bench, options, server, note)
            if bench.others:
                note(f"others sent about {bench.others} requests meanwhile")
            if not server.as_is:
                note("putting back what was loaded before ...")
    finally:
        if bench.restoration is not None and not bench.restoration.done:
            place = f"'{options.model}' at {bench.address}"
            warn(f"what was loaded before as {place} is not put back: {bench.restoration.text}")


def _ground(bench: RemoteBench, options: AnalysisOptions, server: RemoteServer, note: Callable[[str], None]) -> Ground:
    given = {name: tuple(shape) for name, shape in options.shapes.items()}
    source = DataSource(options.inputs, given, seed=options.seed)
    look = source.look(bench.complete)
    subject = examine_remote(bench, given, note)
    bench.source = source
    facts = facts_elsewhere()
    engines = own_engine(subject.base, facts)
    space = options.space.space(facts, subject.base, engines, subject.batches)
    space = replace(space, max_batch_sizes=subject.batch_sizes(space.max_batch_sizes))
    space, state_notes = with_state(space, bench.complete)
    if server.as_is:
        name = f"{options.model}_config_default"
        variants = Variants((replace(subject.current, name=name),), ("nothing is changed on the server (--as-is)",))
    else:
        variants = make_variants(space, subject.current, subject.base, engines, facts, "")
    current = variants.configurations[0]
    subject = replace(subject, current=current, default=None if server.as_is else defaults_of(current))
    compared = () if server.as_is else ("answers of other configurations are not compared: the server has the model",)
    crowd = connections_note(bench.address, max(space.concurrency, default=0))
    return Ground(
        subject=subject,
        space=space,
        variants=variants,
        loads=loads_of(space, bench.complete, options),
        source=source,
        bench=bench,
        guard=None,
        notes=(
            *model_notes(subject),
            *look.notes,
            *([crowd] if crowd else []),
            *compared,
            *state_notes,
            *variants.notes,
        ),
        where=str(bench.address),
        measured=partial(server_processes, bench.address),
    )
