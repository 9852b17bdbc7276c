"""Whether an ensemble and the models of its steps fit together.

Source: `ValidateEnsembleConfig` in Triton's core (ensemble_utils.cc). As there, the latest version of each model is asked,
whatever version the step names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelEnsembling

from tcli_server.scheduling.ensembles.graph import Graph, wanted_model
from tcli_server.scheduling.ensembles.lineage import join
from tcli_server.spec import ModelSpec, Shape, TensorSpec


class Known(Protocol):
    """A model that is ready."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def spec(self) -> ModelSpec: ...


DEEPEST = 64
"""So many models may be one in the other, as each level costs a part of the stack for every request."""

Find = Callable[[str, str], Known | None]
"""The ready model of a name and a version, empty for the highest; None if there is none."""


def steps_of(config: ModelConfig) -> list[str]:
    """The models that an ensemble is made of, in its order, with the namespaces that it gives; none for other models."""
    return list(dict.fromkeys(wanted_model(step) for step in config.ensemble_scheduling.step))


def obstacle(config: ModelConfig, spec: ModelSpec, look_up: Find) -> str:
    """Why an ensemble cannot run now; empty if it can."""
    find = cache(look_up)  # models may come and go meanwhile
    steps = config.ensemble_scheduling.step
    missing = [name for name in steps_of(config) if find(name, "") is None]
    if missing:
        return f"ensemble '{config.name}' depends on {_quoted(missing)} which has no loaded version"
    for step in steps:
        if step.model_version > 0 and find(wanted_model(step), str(step.model_version)) is None:
            return (
                f"ensemble '{config.name}' depends on '{wanted_model(step)}' whose required version {step.model_version} is "
                "not loaded"
            )
    return next(_disagreements(config, spec, find), "") or _decoupling(config, spec, find)


def settle_decoupled(config: ModelConfig, find: Find) -> None:
    """Write down whether an ensemble is decoupled: it is if a step is, whatever its configuration says."""
    config.model_transaction_policy.decoupled = bool(_decoupled(config, find))


def misnesting(name: str, steps: Callable[[str], Sequence[str]]) -> str:
    """How an ensemble contains itself, `a -> b -> a`, or too many others one in the other; empty if it does not."""
    path: list[str] = []
    done: set[str] = set()

    def visit(current: str) -> str:
        if current in path:
            return f"circular dependency between ensembles: {' -> '.join([*path[path.index(current) :], current])}"
        if current in done:
            return ""
        if len(path) > DEEPEST:
            return f"ensembles nested more than {DEEPEST} deep: {' -> '.join(path[:3])} -> ... -> {current}"
        path.append(current)
        found = next((found for step in steps(current) if (found := visit(step))), "")
        path.pop()
        done.add(current)
        return found

    return visit(name)


def innermost_first(name: str, steps: Callable[[str], Sequence[str]]) -> list[str]:
    """Everything that a model is made of, without itself."""
    order: dict[str, None] = {}

    def visit(current: str) -> None:
        for step in steps(current):
            if step not in order:
                visit(step)
                order[step] = None

    visit(name)
    return list(order)


def labels(config: ModelConfig, find: Find) -> dict[str, Sequence[str]]:
    """Ensemble output -> class names of the model that makes it."""
    found: dict[str, Sequence[str]] = {}
    for step in config.ensemble_scheduling.step:
        model = find(wanted_model(step), "")
        for name, tensor in step.output_map.items():
            if model is not None and name in model.spec.labels:
                found[tensor] = model.spec.labels[name]
    return found


# --- decoupled steps ---


def _decoupled(config: ModelConfig, find: Find) -> dict[int, str]:
    """The steps whose models are decoupled."""
    found: dict[int, str] = {}
    for index, step in enumerate(config.ensemble_scheduling.step):
        model = find(wanted_model(step), "")
        if model is not None and model.spec.decoupled:
            found[index] = wanted_model(step)
    return found


def _decoupling(config: ModelConfig, spec: ModelSpec, find: Find) -> str:
    """What is wrong with the decoupled steps of an ensemble; empty if nothing is."""
    decoupled = _decoupled(config, find)
    if spec.decoupled is not bool(decoupled):
        which = f"models {_quoted(sorted(set(decoupled.values())))} are" if decoupled else "none of its models is"
        return (
            f"ensemble '{config.name}' was loaded as one that is {'' if spec.decoupled else 'not '}decoupled, but {which} now: "
            "load it anew"
        )
    if not decoupled:
        return ""
    if config.response_cache.enable:
        return (
            f"ensemble '{config.name}' has a response cache, which does not go with decoupled models: "
            f"{_quoted(sorted(set(decoupled.values())))}; remove response_cache"
        )
    found = Graph(config.ensemble_scheduling).lineages(frozenset(decoupled))
    if found.clash is not None:
        name = wanted_model(config.ensemble_scheduling.step[found.clash])
        return (
            f"in ensemble '{config.name}', step of model '{name}' receives inputs originated from different decoupled models: "
            "nothing says which response of one goes with which of the other"
        )
    outputs = [output.name for output in config.output]
    if join([found.of_tensors.get(name, ()) for name in outputs]) is None:
        return (
            f"in ensemble '{config.name}', the outputs {_quoted(outputs)} originate from different decoupled models: nothing "
            "says which response of one goes with which of the other"
        )
    return ""


# --- tensors ---


def _disagreements(config: ModelConfig, spec: ModelSpec, find: Find) -> Iterator[str]:
    known: dict[str, tuple[TensorSpec, bool, str]] = {
        name: (replace(tensor, dims=tensor.backend_dims), bool(spec.max_batch_size), f"ensemble '{config.name}'")
        for name, tensor in (*spec.inputs.items(), *spec.outputs.items())
    }
    for step in config.ensemble_scheduling.step:
        model = find(wanted_model(step), "")
        assert model is not None
        inner = model.spec
        if 0 < inner.max_batch_size < spec.max_batch_size:
            yield (
                f"ensemble '{config.name}' allows maximum batch size {spec.max_batch_size}, but it contains model "
                f"'{inner.name}' which only allows maximum batch size to be {inner.max_batch_size}"
            )
        yield from _unmapped(config.name, step, inner)
        for mapping, tensors, kind in (
            (step.input_map, inner.inputs, "input"),
            (step.output_map, inner.outputs, "output"),
        ):
            yield from _mapped(config.name, mapping, tensors, kind, inner, known)


def _unmapped(ensemble: str, step: ModelEnsembling.Step, inner: ModelSpec) -> Iterator[str]:
    for name in inner.required:
        if name not in step.input_map:
            yield (
                f"in ensemble '{ensemble}', input '{name}' of model '{inner.name}' is not mapped: add it to the step's "
                "input_map"
            )


def _mapped(
    ensemble: str,
    mapping: Mapping[str, str],
    tensors: Mapping[str, TensorSpec],
    kind: str,
    inner: ModelSpec,
    known: dict[str, tuple[TensorSpec, bool, str]],
) -> Iterator[str]:
    for name, tensor in mapping.items():
        own = tensors.get(name)
        if own is None:
            yield (f"in ensemble '{ensemble}', model '{inner.name}' has no {kind} '{name}': it has {_quoted(tensors)}")
            continue
        batches = bool(inner.max_batch_size)
        other, other_batches, owner = known.setdefault(tensor, (own, batches, f"model '{inner.name}'"))
        if own.datatype is not other.datatype:
            yield (
                f"in ensemble '{ensemble}', inconsistent data type of ensemble tensor '{tensor}': {_type(own)} is inferred "
                f"from model '{inner.name}' while {_type(other)} is from {owner}"
            )
        elif not _fits(own.dims, batches, other.dims, other_batches):
            yield (
                f"in ensemble '{ensemble}', inconsistent shape of ensemble tensor '{tensor}': "
                f"{_shape(own, batches)} is inferred from model '{inner.name}' while {_shape(other, other_batches)} is from "
                f"{owner}"
            )


def _fits(one: Shape, one_batches: bool, other: Shape, other_batches: bool) -> bool:
    """Whether shapes agree, where -1 is any; with a batch dimension on one side only it may be among the other's dims."""
    if _equal(one, other):
        return True
    if one_batches and not other_batches:
        return _equal((-1, *one), other)
    if other_batches and not one_batches:
        return _equal(one, (-1, *other))
    return False


def _equal(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))


def _type(tensor: TensorSpec) -> str:
    return f"TYPE_{'STRING' if tensor.datatype.name == 'BYTES' else tensor.datatype.name}"


def _shape(tensor: TensorSpec, batches: bool) -> str:
    return str(list((-1, *tensor.dims) if batches else tensor.dims))


def _quoted(names: "Sequence[str] | Mapping[str, object]") -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
