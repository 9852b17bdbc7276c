"""Loads TorchScript files. They say what their arguments are called, but neither types of elements nor shapes."""

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.pytorch.archive import not_torch
from tcli_server.backends.pytorch.program import Key, Program, Slot, by_key
from tcli_server.backends.pytorch.tensors import storage
from tcli_server.signature import TensorSignature


class _Argument(NamedTuple):
    name: str
    kind: str
    has_default: bool


_TENSOR, _STRINGS, _DICT = "Tensor", "List[str]", "Dict[str, Tensor]"


_TOLD = re.compile(r"[\w.]*(?:Error|Exception): (.+)")


def load_script(path: Path, device: torch.device | None) -> Program:
    """Load a file to a device; None for where it was saved from.

    Raises:
        ModelFileError: PyTorch cannot load it, or its `forward` takes or gives something that no tensor is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch would rather have exported programs
            module = torch.jit.load(str(path), map_location=device)
    except Exception as error:  # RuntimeError mostly, but whatever a strange file leads to
        found = f"refused by PyTorch {torch.__version__} ({short(error)})"
        raise not_torch(
            path, found, "export it again with this version, or install the operators that it needs"
        ) from error
    module.eval()  # what was saved in the middle of training would answer by chance
    if not hasattr(module, "forward"):
        raise not_torch(path, "a TorchScript file without 'forward'", "export a module that has it")
    schema = module.forward.schema
    arguments = [_Argument(each.name, str(each.type), bool(each.has_default_value())) for each in schema.arguments[1:]]
    keyed = len(arguments) == 1 and arguments[0].kind == _DICT
    slots = () if keyed else _inputs(path, arguments)
    outputs, answers = _outputs(path, schema.returns[0].type)
    names = None if keyed else [slot.names[0] for slot in slots]
    weights = frozenset(storage(tensor) for tensor in (*module.parameters(), *module.buffers())) - {0}
    return Program(_call(module, names), slots, outputs, keyed, answers, _writes(module), weights)


def short(error: Exception) -> str:
    """The line of PyTorch's message that says what is wrong, without the stack in C++ and in TorchScript."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [match[1] for line in lines if (match := _TOLD.fullmatch(line))]
    text = told[-1] if told else next(iter(lines), type(error).__name__)
    return text[:400]


def _call(module: torch.jit.ScriptModule, names: list[str] | None) -> Callable[[Any], Mapping[Key, Any]]:
    if names is None:
        return lambda values: by_key(module(values))

    def call(values: list[Any]) -> Mapping[Key, Any]:
        # By name, as what is left out has the value that the file gives it.
        return by_key(module(**{name: value for name, value in zip(names, values, strict=True) if value is not None}))

    return call


def _inputs(path: Path, arguments: list[_Argument]) -> tuple[Slot, ...]:
    slots = []
    for name, kind, has_default in arguments:
        is_optional = kind.startswith("Optional[")
        inner = kind[len("Optional[") : -1] if is_optional else kind
        if inner not in (_TENSOR, _STRINGS):
            if has_default:
                continue
            raise ModelFileError(
                path,
                f"arguments that are {_TENSOR} or {_STRINGS}, or a single {_DICT}",
                f"a model whose forward takes '{name}' as {kind}",
                "export a module around it whose forward takes tensors",
            )
        slots.append(Slot((name,), _unknown(name, inner), has_default, inner == _STRINGS))
    return tuple(slots)


def _outputs(path: Path, answer: Any) -> tuple[Mapping[Key, Slot], type]:
    """What `forward` says that it answers; a dictionary's keys and a list's length are only known when it has."""
    kind = str(answer)
    if kind == _DICT:
        return {}, str
    if kind == f"List[{_TENSOR}]":
        return {}, int
    parts = [str(part) for part in answer.elements()] if answer.kind() == "TupleType" else [kind]
    if not parts or any(part not in (_TENSOR, _STRINGS) for part in parts):
        expected = f"{_TENSOR}, {_STRINGS}, a tuple of these, List[{_TENSOR}] or {_DICT}"
        found = f"a model whose forward answers {kind}"
        raise ModelFileError(path, expected, found, "export a module around it whose forward answers tensors")
    slots = [Slot((), _unknown("", part), strings=part == _STRINGS) for part in parts]
    return dict(enumerate(slots)), int


def _unknown(name: str, kind: str) -> TensorSignature:
    return TensorSignature(name, "BYTES" if kind == _STRINGS else "", (), rank_known=False)


def _writes(module: torch.jit.ScriptModule) -> bool:
    """Whether some operator may write into an input; true where PyTorch cannot tell."""
    try:
        graph = module.inlined_graph
        aliases = graph.alias_db()
        return any(aliases.has_writers(value) for value in list(graph.inputs())[1:])
    except (RuntimeError, AttributeError):
        return True
