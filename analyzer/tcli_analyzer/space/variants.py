"""From a space to configurations: each combination that means something, once, with its name and its label."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_analyzer.configuration import Configuration, behaviour_of, instance_count, vary
from tcli_analyzer.space.dimensions import Space
from tcli_analyzer.space.engines import Choice, Engines
from tcli_analyzer.space.errors import SpaceError
from tcli_analyzer.space.facts import Facts
from tcli_analyzer.space.labels import variant_label
from tcli_analyzer.space.settings import Settings, knobs_of, read_settings, write_settings


@dataclass(frozen=True)
class Variants:
    """What a space gives.

    Attributes:
        configurations: the model's own first, then in the order in which they are named.
        notes: what was left out, and why; for the user.
    """

    configurations: tuple[Configuration, ...]
    notes: tuple[str, ...]


def make_variants(
    space: Space,
    current: Configuration,
    base: ModelConfig,
    engines: Engines,
    facts: Facts,
    model_file: str,
    rewritten_model: bool = False,
) -> Variants:
    """Every combination of a space as a configuration.

    Those that run the same way are one; so is what runs as the model's own configuration, which stands for it.

    Args:
        current: the model's own configuration; it comes first whatever the space has.
        base: what the others vary; its batch dimension is implicit if the space has batch sizes.
        model_file: the name of the model's file.
        rewritten_model: `base` needs the rewritten model file, so that nothing runs as the model's own.

    Raises:
        SpaceError: too many combinations, a value that nothing here takes, or nothing that is left of the space.
    """
    space.check()
    chosen = _choices(space, engines)
    model = current.config.name
    own = read_settings(base)
    found = [replace(current, name=f"{model}_config_default")]
    seen = set() if rewritten_model else {_behaviour(current.config, facts)}
    merged = 0
    for settings, instances, max_batch_size in _combinations(space, chosen):
        config = write_settings(vary(base, max_batch_size, instances), settings, model_file)
        behaviour = _behaviour(config, facts)
        if behaviour in seen:
            merged += 1
            continue
        seen.add(behaviour)
        total = instance_count(config)
        written = read_settings(config)
        found.append(
            Configuration(
                variant_label(max_batch_size, total, written, own),
                max_batch_size,
                total,
                config,
                rewritten_model=rewritten_model,
                name=f"{model}_config_{len(found) - 1}",
                changes_numbers=rewritten_model or max_batch_size > 1 or _numbers(written) != _numbers(own),
            )
        )
    notes = _notes(space, chosen)
    if merged:
        notes.append(f"{merged} combination{'s' * (merged != 1)} left out that run{'s' * (merged == 1)} as another one")
    return Variants(tuple(found), tuple(notes))


def same_numbers(configuration: Configuration) -> tuple[object, ...]:
    """What configurations share that compute alike, so that one comparison of answers is enough for all of them."""
    settings = read_settings(configuration.config)
    batches = configuration.max_batch_size > 1
    return (*_numbers(settings), configuration.rewritten_model, batches, configuration.current)


def _numbers(settings: Settings) -> tuple[object, ...]:
    return settings.engine, settings.provider, settings.precision, settings.graph_level


def _combinations(space: Space, choices: Sequence[Choice]) -> Iterator[tuple[Settings, int, int]]:
    """The simplest first, and what changes least from one to the next comes last."""
    for choice in choices:
        precisions = dict.fromkeys(choice.meaning(word) for word in space.precisions)
        levels = space.graph_levels if knobs_of(choice.engine).graph_levels else (0,)
        for precision, level, threads in product(precisions, levels, sorted(set(space.threads))):
            if precision is None:
                continue
            for instances, size in product(sorted(set(space.instances)), sorted(set(space.max_batch_sizes))):
                for delay, preferred in product(sorted(set(space.queue_delays_us)), space.preferred_batch_sizes):
                    sizes = tuple(sorted(set(preferred)))
                    settings = Settings(delay, sizes, threads, choice.engine, choice.provider, precision, level)
                    yield settings, instances, size


def _choices(space: Space, engines: Engines) -> list[Choice]:
    """The engines and providers of a space, the model's own first.

    Raises:
        SpaceError: one is not known, or not here, or none has a precision of the space.
    """
    here = engines.choices
    for field, wanted, there in (
        ("engines", space.engines, {one.engine for one in here}),
        ("providers", space.providers, {one.provider for one in here if one.engine in space.engines}),
    ):
        for name in wanted:
            if name not in there:
                raise _not_here(field, name, engines, there)
    chosen = [one for one in here if one.engine in space.engines and one.provider in space.providers]
    if not chosen:
        pairs = ", ".join(one.name for one in here)
        raise SpaceError(
            f"no engine of {', '.join(space.engines)} has one of the providers {', '.join(space.providers)}",
            f"combine what belongs together: {pairs}",
            "providers",
        )
    for word in space.precisions:
        if not any(one.meaning(word) is not None for one in chosen):
            raise _no_precision(word, chosen)
    return chosen


def _not_here(field: str, name: str, engines: Engines, there: set[str]) -> SpaceError:
    what = field.removesuffix("s")
    position = 0 if field == "engines" else 1
    reasons = [one[2] for one in engines.absent if one[position] == name]
    listed = ", ".join(sorted(there))
    if reasons:
        return SpaceError(
            f"the {what} '{name}' cannot run this model here: {reasons[0]}", f"leave it out: {listed} can", field
        )
    known = {one[position] for one in engines.absent} | there
    near = difflib.get_close_matches(name.lower(), known, 1)
    fix = f"did you mean '{near[0]}'?" if near else "leave it out"
    return SpaceError(f"no {what} '{name}' runs this model; here are {listed}", fix, field)


def _no_precision(word: str, chosen: Sequence[Choice]) -> SpaceError:
    listed = "; ".join(f"{one.name}: {', '.join(one.works_in)}" for one in chosen)
    if any(word in one.precisions for one in chosen):
        found = f"this processor does not compute in {word}, and the engine would take f32"
    else:
        found = f"nothing that runs this model here has the precision '{word}'"
    return SpaceError(found, f"leave it out; there is {listed}", "precisions")


def _notes(space: Space, chosen: Sequence[Choice]) -> list[str]:
    notes = []
    for word in space.precisions:
        without = [one.name for one in chosen if one.is_told and one.meaning(word) is None]
        if without:
            notes.append(f"precision {word} is not tried with {' and '.join(without)}, which cannot compute in it here")
    return notes


def _behaviour(config: ModelConfig, facts: Facts) -> tuple[bytes, int]:
    """What runs the same way: an explicit number of threads that is an instance's share of the cores says nothing."""
    settings = read_settings(config)
    plain = write_settings(config, replace(settings, threads=0), "")
    on_cpu = sum(group.count or 1 for group in config.instance_group if group.kind != ModelInstanceGroup.KIND_GPU)
    share = max(1, facts.cores // max(1, on_cpu)) if facts.cores else 0
    return behaviour_of(plain), settings.threads or share
