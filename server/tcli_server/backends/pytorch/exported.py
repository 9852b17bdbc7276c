"""Loads exported programs (`torch.export.save`), which say what they take and give."""

import logging
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

from tcli_server.backends.pytorch.archive import not_torch
from tcli_server.backends.pytorch.pickles import PickleError, check_pickles
from tcli_server.backends.pytorch.program import Key, Program, Slot
from tcli_server.backends.pytorch.script import short
from tcli_server.backends.pytorch.tensors import datatype_name, storage
from tcli_server.backends.pytorch.trees import input_paths, output_names, output_paths, written
from tcli_server.signature import TensorSignature

_AGAIN = "export it again with plain tensors, by torch.export.save"

_LOADING = threading.Lock()
"""PyTorch reads one such file at a time: it keeps what it is at in a variable of the module."""


def load_exported(path: Path, device: torch.device | None) -> Program:
    """Load a file to a device; None for where it was exported.

    Raises:
        ModelFileError: PyTorch cannot load it, or it takes or gives something that no tensor is.
    """
    for name in ("torch.export", "torch.export.pt2_archive._package"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it logs with a stack is raised as well
    try:
        check_pickles(path)
        with _LOADING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.load(path)
            if device is not None and device.type != "cpu":
                from torch.export.passes import move_to_device_pass

                exported = move_to_device_pass(exported, device)
            module = exported.module()
    except PickleError as error:
        raise not_torch(path, str(error), _AGAIN) from None
    except Exception as error:  # any, on a strange file
        found = f"an exported program that PyTorch {torch.__version__} refuses ({short(error)})"
        raise not_torch(path, found, "export it again with this version") from error
    in_spec = exported.call_spec.in_spec
    places, slots, filled = _inputs(path, exported)
    weights = frozenset(storage(each) for each in exported.state_dict.values()) - {0}

    def call(given: list[Any]) -> Mapping[Key, Any]:
        leaves = list(filled)
        for place, value in zip(places, given, strict=True):
            leaves[place] = value
        args, kwargs = pytree.tree_unflatten(leaves, in_spec)
        return dict(enumerate(pytree.tree_leaves(module(*args, **kwargs))))

    writes = any(_writes(node.target) for node in exported.graph.nodes)
    return Program(call, tuple(slots), _outputs(exported), writes=writes, weights=weights)


def _inputs(path: Path, exported: torch.export.ExportedProgram) -> tuple[list[int], list[Slot], list[Any]]:
    """Where the tensors are among the values that it is called with, what they are, and the values that never change."""
    values = _values(exported)
    spec = exported.call_spec.in_spec
    places: list[int] = []
    slots: list[Slot] = []
    filled: list[Any] = [None] * spec.num_leaves
    arguments = [each.arg for each in exported.graph_signature.input_specs if each.kind == InputKind.USER_INPUT]
    for index, (argument, where) in enumerate(zip(arguments, input_paths(spec), strict=True)):
        if isinstance(argument, ConstantArgument):
            filled[index] = argument.value
            continue
        if not isinstance(argument, TensorArgument):
            found = f"an exported program that takes '{argument.name}', which is no tensor"
            raise not_torch(path, found, "export a module around it whose forward takes tensors")
        own = where[-1] if where[0] == "KWARGS" and len(where) == 2 else argument.name
        slots.append(Slot((own, argument.name, written(where)), _signature(own, values[argument.name])))
        places.append(index)
    return places, slots, filled


def _outputs(exported: torch.export.ExportedProgram) -> dict[Key, Slot]:
    values = _values(exported)
    outputs: dict[Key, Slot] = {}
    arguments = [each.arg for each in exported.graph_signature.output_specs if each.kind == OutputKind.USER_OUTPUT]
    paths = output_paths(exported.call_spec.out_spec)
    for index, (argument, where) in enumerate(zip(arguments, paths, strict=True)):
        if isinstance(argument, TensorArgument):
            names = output_names(index, where)
            outputs[index] = Slot(names, _signature(names[0], values[argument.name]))
    return outputs


def _values(exported: torch.export.ExportedProgram) -> dict[str, Any]:
    return {node.name: node.meta.get("val") for node in exported.graph.nodes}


def _signature(name: str, value: torch.Tensor) -> TensorSignature:
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorSignature(name, datatype_name(value.dtype), shape)


def _writes(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)
