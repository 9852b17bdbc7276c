"""Loads exported programs (`torch.export.save`), which say what they take and give, and compiled ones, which do not."""

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.export.pt2_archive._package import PT2ArchiveReader
from torch.utils import _pytree as pytree

from tcli_server.backends.pytorch.archive import not_torch
from tcli_server.backends.pytorch.program import Key, Program, Slot
from tcli_server.backends.pytorch.script import short
from tcli_server.backends.pytorch.tensors import datatype_name, storage
from tcli_server.backends.pytorch.trees import input_paths, output_paths, written
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
        _check_pickles(path)
        with _LOADING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.load(path)
            if device is not None and device.type != "cpu":
                from torch.export.passes import move_to_device_pass

                exported = move_to_device_pass(exported, device)
            module = exported.module()
    except _PickleError as error:
        raise not_torch(path, str(error), _AGAIN) from None
    except Exception as error:  # any, on a strange file
        found = f"an exported program that PyTorch {torch.__version__} refuses ({short(error)})"
        raise not_torch(path, found, "export it again with this version") from error
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes}
    in_spec, out_spec = exported.call_spec.in_spec, exported.call_spec.out_spec
    slots, places, filled = [], [], [None] * in_spec.num_leaves
    given = [spec.arg for spec in exported.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT]
    for index, (argument, where) in enumerate(zip(given, input_paths(in_spec), strict=True)):
        if isinstance(argument, ConstantArgument):
            filled[index] = argument.value
            continue
        if not isinstance(argument, TensorArgument):
            found = f"an exported program that takes '{argument.name}', which is no tensor"
            raise not_torch(path, found, "export a module around it whose forward takes tensors")
        names = (
            where[-1] if where[0] == "KWARGS" and len(where) == 2 else argument.name,
            argument.name,
            written(where),
        )
        slots.append(Slot(names, _signature(names[0], values[argument.name])))
        places.append(index)
    outputs: dict[Key, Slot] = {}
    answered = [spec.arg for spec in exported.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    for index, (argument, where) in enumerate(zip(answered, output_paths(out_spec), strict=True)):
        if isinstance(argument, TensorArgument):
            names = _output_names(index, where)
            outputs[index] = Slot(names, _signature(names[0] if names else "", values[argument.name]))
    weights = frozenset(storage(each) for each in exported.state_dict.values()) - {0}

    def call(given: list[Any]) -> Mapping[Key, Any]:
        leaves = list(filled)
        for place, value in zip(places, given, strict=True):
            leaves[place] = value
        args, kwargs = pytree.tree_unflatten(leaves, in_spec)
        return dict(enumerate(pytree.tree_leaves(module(*args, **kwargs))))

    writes = any(_writes(node.target) for node in exported.graph.nodes)
    return Program(call, tuple(slots), outputs, writes=writes, weights=weights)


def load_compiled(path: Path, device: torch.device | None) -> Program:
    """Load a file that AOTInductor compiled, whose machine code is for one kind of device.

    Raises:
        ModelFileError: PyTorch cannot load it.
    """
    try:
        index = device.index if device is not None and device.index is not None else -1
        compiled = torch._inductor.aoti_load_package(str(path), device_index=index)
        specs = [pytree.treespec_loads(text) for text in compiled.loader.get_call_spec()]
    except Exception as error:
        found = f"a compiled program that PyTorch {torch.__version__} refuses ({short(error)})"
        raise not_torch(path, found, "compile it again with this version, on such a machine") from error
    in_spec, out_spec = specs
    slots = []
    for where in input_paths(in_spec):
        names = (where[-1], written(where)) if where[0] == "KWARGS" and len(where) == 2 else (written(where),)
        slots.append(Slot(names, TensorSignature(names[0], "", (), rank_known=False)))
    outputs: dict[Key, Slot] = {
        index: Slot(_output_names(index, where), TensorSignature("", "", (), rank_known=False))
        for index, where in enumerate(output_paths(out_spec))
    }

    def call(given: list[Any]) -> Mapping[Key, Any]:
        args, kwargs = pytree.tree_unflatten(given, in_spec)
        return dict(enumerate(pytree.tree_leaves(compiled(*args, **kwargs))))

    return Program(call, tuple(slots), outputs, writes=True)


def _signature(name: str, value: torch.Tensor) -> TensorSignature:
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return TensorSignature(name, datatype_name(value.dtype), shape)


def _output_names(index: int, where: tuple[str, ...]) -> tuple[str, ...]:
    """The key of a dictionary's value first; `RESULT` where the answer is one tensor."""
    key = (where[-1],) if len(where) == 2 and not where[-1].isdigit() else ()
    return (*key, f"OUTPUT__{index}", written(where))


def _writes(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


class _PickleError(Exception):
    """A file has pickles that could be anything."""


def _check_pickles(path: Path) -> None:
    """Whether all that is pickled in a file is tensors: `torch.export.load` would run whatever else is.

    Raises:
        _PickleError: it is not.
    """
    with PT2ArchiveReader(str(path)) as reader:
        names = reader.get_file_names()
        for name in [name for name in names if name.endswith("_config.json") and name.startswith("data/")]:
            for key, payload in _payloads(json.loads(reader.read_string(name))):
                place = f"{name.rpartition('/')[0]}/{payload.get('path_name')}"
                if "opaque_obj" in place:
                    raise _PickleError(f"an exported program with the pickled object '{key}', which could run any code")
                if payload.get("use_pickle") and "custom_obj" not in place:
                    _check_pickle(place, reader.read_bytes(place))
        for name in names:
            if name.endswith(".pt"):
                _check_pickle(name, reader.read_bytes(name))


def _payloads(document: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    config = document.get("config") if isinstance(document, dict) else None
    for key, payload in (config if isinstance(config, dict) else {}).items():
        if isinstance(payload, dict):
            yield key, payload


def _check_pickle(name: str, content: bytes) -> None:
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:
        raise _PickleError(
            f"an exported program whose '{name}' holds more than tensors, and could run any code"
        ) from None
