"""Which of a model's values a name in the configuration means, by Triton's rules."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.pytorch.program import Key, Program, Slot
from tcli_server.observability.log import LOG
from tcli_server.signature import ModelSignature, TensorSignature

_INDEXED = re.compile(r".*__(\d{1,6})", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Names:
    """What configured names mean.

    Attributes:
        inputs: name -> the index of an input.
        outputs: name -> where it is in the answer.
        signature: what the model takes and gives, under the configured names where they mean something.
    """

    inputs: Mapping[str, Key]
    outputs: Mapping[str, Key]
    signature: ModelSignature


def read_names(config: ModelConfig, program: Program) -> Names:
    """Match the names of a configuration with a model.

    All names are the model's own, or all are of the form `<text>__<index>`, or they count in their order. What matches
    nothing is not in the signature, by which it is told.
    """
    inputs = _configured_inputs(config)
    outputs = [*(output.name for output in config.output), *_states(config, "output_name")]
    if program.keyed:
        taken: dict[str, Key] = {name: name for name in inputs}
        takes = [TensorSignature(name, "", (), rank_known=False) for name in inputs]
        optional: list[TensorSignature] = []
    else:
        slots = dict[Key, Slot](enumerate(program.inputs))
        taken = _matched(config.name, "input", inputs, slots)
        named = _named(taken, slots, "INPUT" if _indexed(inputs) else "")
        takes = [tensor for key, tensor in named if not slots[key].optional]
        optional = [tensor for key, tensor in named if slots[key].optional]
        taken = {tensor.name: key for key, tensor in named}
    if program.outputs:
        given = _matched(config.name, "output", outputs, program.outputs)
        told = _named(given, program.outputs, "OUTPUT")
        gives = [tensor for _, tensor in told]
        given = {tensor.name: key for key, tensor in told}
    else:  # only the answer tells
        given = {
            name: name if program.answers is str else index
            for name, index in zip(outputs, _indexes(outputs) or range(len(outputs)), strict=True)
        }
        gives = [TensorSignature(name, "", (), rank_known=False) for name in outputs]
    return Names(taken, given, ModelSignature(tuple(takes), tuple(gives), tuple(optional)))


def _configured_inputs(config: ModelConfig) -> list[str]:
    """Those that clients send, and those that the server makes."""
    sequences = config.sequence_batching
    controls = [control.name for control in sequences.control_input]
    made = [name for batch_input in config.batch_input for name in batch_input.target_name]
    names = [*(item.name for item in config.input), *controls, *_states(config, "input_name"), *made]
    return list(dict.fromkeys(names))


def _states(config: ModelConfig, field: str) -> list[str]:
    return [getattr(state, field) for state in config.sequence_batching.state]


def _matched(model: str, kind: str, names: Sequence[str], slots: Mapping[Key, Slot]) -> dict[str, Key]:
    own = {alias: key for key, slot in reversed(list(slots.items())) for alias in reversed(slot.names)}
    if names and all(name in own for name in names):
        return _once({name: own[name] for name in names})
    indexes = _indexes(names)
    keys = list(slots)
    if indexes is not None:
        return _once({name: keys[index] for name, index in zip(names, indexes, strict=True) if index < len(keys)})
    known = {name: own[name] for name in names if name in own}
    in_order = dict(zip(names, keys, strict=False))
    if any(in_order.get(name) != key for name, key in known.items()) or len(names) > len(keys):
        return _once(known)  # one of the others is misspelt
    if any(slot.names for slot in slots.values()) and names:
        meant = ", ".join(f"'{name}' is {_called(slots[key], key)}" for name, key in in_order.items())
        LOG.warning("model '%s': %ss are taken in the configuration's order: %s", model, kind, meant)
    return in_order


def _called(slot: Slot, key: Key) -> str:
    return f"'{slot.names[0]}'" if slot.names else f"number {key}"


def _once(matched: dict[str, Key]) -> dict[str, Key]:
    """The first name of each."""
    first: dict[Key, str] = {}
    for name, key in matched.items():
        first.setdefault(key, name)
    return {name: key for key, name in first.items()}


def _indexed(names: Sequence[str]) -> bool:
    return bool(names) and _indexes(names) is not None


def _indexes(names: Sequence[str]) -> list[int] | None:
    found = [_INDEXED.fullmatch(name) for name in names]
    return [int(match[1]) for match in found if match] if all(found) else None


def _named(matched: Mapping[str, Key], slots: Mapping[Key, Slot], text: str) -> list[tuple[Key, TensorSignature]]:
    """Every value under the name that the configuration has for it, else under its own, or under `<text>__<index>`."""
    names = {key: name for name, key in matched.items()}
    tensors = []
    for index, (key, slot) in enumerate(slots.items()):
        usual = f"{text}__{index}" if text and (text == "INPUT" or not slot.names) else ""
        name = names.get(key) or usual or slot.names[0]
        tensors.append((key, replace(slot.tensor, name=name)))
    return tensors
