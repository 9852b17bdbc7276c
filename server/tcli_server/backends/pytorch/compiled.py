"""Loads programs that AOTInductor compiled: machine code, which says of its tensors only where they go."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from tcli_server.backends.pytorch.archive import not_torch
from tcli_server.backends.pytorch.program import Key, Program, Slot
from tcli_server.backends.pytorch.script import short
from tcli_server.backends.pytorch.trees import input_paths, output_names, output_paths, written
from tcli_server.signature import TensorSignature

# The machine code looks at what it is given only if this is set: else a wrong shape reads beyond a tensor's memory.
os.environ.setdefault("AOTI_RUNTIME_CHECK_INPUTS", "1")


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
        index: Slot(output_names(index, where), TensorSignature("", "", (), rank_known=False))
        for index, where in enumerate(output_paths(out_spec))
    }

    def call(given: list[Any]) -> Mapping[Key, Any]:
        args, kwargs = pytree.tree_unflatten(given, in_spec)
        return dict(enumerate(pytree.tree_leaves(compiled(*args, **kwargs))))

    return Program(call, tuple(slots), outputs, writes=True)
