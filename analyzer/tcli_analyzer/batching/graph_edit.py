"""Edits an ONNX graph so that its first dimension, fixed at 1, may be any size.

Nothing here proves that the result is right: that is the business of `batch_proof`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from tcli_analyzer.batching.not_batchable import NotBatchableError

BATCH = "batch"


def make_dynamic(model: onnx.ModelProto) -> list[str]:
    """Make dimension 0 of every input and output variable, and mend what has the old size built in.

    Handles constants in Reshape and Resize that hold the batch size, and constants of batch size 1 that are
    concatenated with batched data.

    Args:
        model: edited in place. Weights may be external; they are neither read nor changed.

    Returns:
        What was changed, one phrase each; empty if the batch dimension was variable already.

    Raises:
        NotBatchableError: an input or output has no first dimension of 1.
    """
    graph = model.graph
    stored = {initializer.name for initializer in graph.initializer}
    ends = [value for value in (*graph.input, *graph.output) if value.name not in stored]
    fixed = [value for value in ends if _fixed_at_one(value)]
    if not fixed:
        return []
    editor = _Editor(model)
    for value in ends:
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]
    names = ", ".join(value.name for value in fixed)
    return [f"first dimension of {names}: 1 -> any", *editor.mend_nodes()]


def _fixed_at_one(value: onnx.ValueInfoProto) -> bool:
    """Whether dimension 0 is 1; False if it is variable."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape") or not tensor.shape.dim:
        raise NotBatchableError(f"'{value.name}' has no dimensions, so it cannot have a batch dimension")
    first = tensor.shape.dim[0]
    if first.WhichOneof("value") != "dim_value":
        return False
    if first.dim_value != 1:
        raise NotBatchableError(f"the first dimension of '{value.name}' is {first.dim_value}, not a batch of 1")
    return True


@dataclass
class _Editor:
    """One pass over the nodes in their (topological) order."""

    model: onnx.ModelProto
    new_nodes: list[onnx.NodeProto] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    _batch_name: str = ""

    def __post_init__(self) -> None:
        graph = self.model.graph
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._shapes = _known_shapes(self.model)
        self._batched = {value.name for value in graph.input} - set(self._initializers)
        self._first_input = next(value.name for value in graph.input if value.name in self._batched)
        self._constants: dict[str, onnx.TensorProto] = {}

    def mend_nodes(self) -> list[str]:
        for node in self.model.graph.node:
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._constants[node.output[0]] = attribute.t
            if self._batched.intersection(node.input):
                self._mend(node)
                self._batched.update(node.output)
            self.new_nodes.append(node)
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.new_nodes)
        return self.done

    def _mend(self, node: onnx.NodeProto) -> None:
        match node.op_type:
            case "Reshape":
                self._mend_reshape(node)
            case "Resize":
                self._mend_resize(node)
            case "Concat":
                self._mend_concat(node)

    def _mend_reshape(self, node: onnx.NodeProto) -> None:
        shape = self._constant(node.input[1]) if len(node.input) > 1 else None
        if shape is None or not len(shape) or shape[0] in (0, -1) or node.input[0] not in self._batched:
            return
        new = [int(dim) for dim in shape]
        known = self._shapes.get(node.input[0], [])
        if -1 not in new:
            # The batch is outermost in memory, so all the growth is in the first dimension.
            new[0] = -1
        elif new[0] == 1 and known[:1] == [1] and not _attribute(node, "allowzero"):
            new[0] = 0  # "as in the input"
        else:
            node.input[1] = self._with_batch(node, [int(dim) for dim in shape])
            self._say(node, list(shape), f"[{new[0]} x batch, {', '.join(map(str, new[1:]))}]")
            return
        node.input[1] = self._store(node, "shape", new)
        self._say(node, list(shape), str(new))

    def _mend_resize(self, node: onnx.NodeProto) -> None:
        sizes = self._constant(node.input[3]) if len(node.input) > 3 else None
        axes = _attribute(node, "axes")
        if sizes is None or sizes[0] != 1 or (isinstance(axes, list) and 0 not in axes):
            return
        node.input[3] = self._with_batch(node, [int(size) for size in sizes])
        self._say(node, list(sizes), f"[batch, {', '.join(map(str, sizes[1:]))}]")

    def _mend_concat(self, node: onnx.NodeProto) -> None:
        for position, name in enumerate(node.input):
            shape = self._shapes.get(name)
            axis = _attribute(node, "axis")
            if name in self._batched or not shape or len(shape) < 2 or shape[0] != 1 or axis in (0, -len(shape)):
                continue
            expanded = f"{node.output[0]}/{position}/batched"
            target = self._with_batch(node, [1] * len(shape), f"expand{position}")
            self.new_nodes.append(helper.make_node("Expand", [name, target], [expanded], name=expanded))
            node.input[position] = expanded
            self.done.append(f"Concat '{_name(node)}': constant '{name}' repeated for each item of the batch")

    def _with_batch(self, node: onnx.NodeProto, shape: Sequence[int], what: str = "shape") -> str:
        """A shape computed at run time: `shape` with its first dimension multiplied by the batch size."""
        first = self._batch_size()
        if shape[0] != 1:
            scaled = f"{node.output[0]}/{what}/first"
            factor = self._store(node, f"{what}/factor", shape[:1])
            self.new_nodes.append(helper.make_node("Mul", [first, factor], [scaled], name=scaled))
            first = scaled
        rest = self._store(node, f"{what}/rest", shape[1:])
        result = f"{node.output[0]}/{what}/batched"
        self.new_nodes.append(helper.make_node("Concat", [first, rest], [result], name=result, axis=0))
        return result

    def _batch_size(self) -> str:
        """The name of an int64 [1] tensor with the size of the running batch."""
        if not self._batch_name:
            self._batch_name = f"{self._first_input}/batch_size"
            whole = f"{self._first_input}/shape"
            index = f"{self._first_input}/batch_axis"
            self._add(index, [0])
            shape = helper.make_node("Shape", [self._first_input], [whole], name=whole)
            gather = helper.make_node("Gather", [whole, index], [self._batch_name], name=self._batch_name, axis=0)
            self.new_nodes[:0] = [shape, gather]
        return self._batch_name

    def _constant(self, name: str) -> np.ndarray | None:
        tensor = self._initializers.get(name, self._constants.get(name))
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        array: np.ndarray = numpy_helper.to_array(tensor)
        return array

    def _store(self, node: onnx.NodeProto, what: str, values: Sequence[int]) -> str:
        # A new constant, never the old one changed: other nodes may share that.
        return self._add(f"{node.output[0]}/{what}", values)

    def _add(self, name: str, values: Sequence[int]) -> str:
        graph = self.model.graph
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        if self.model.ir_version < 4:  # until then every initializer has to be listed as an input
            graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [len(values)]))
        return name

    def _say(self, node: onnx.NodeProto, old: Sequence[int], new: str) -> None:
        self.done.append(f"{node.op_type} '{_name(node)}': {[int(dim) for dim in old]} -> {new}")


def _known_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shapes of tensors at batch 1, as far as they can be known without running the model."""
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # models above 2 GiB and unknown operators: go on with what is written down
        inferred = model.graph
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    values: Iterable[onnx.ValueInfoProto] = (*inferred.input, *inferred.value_info)
    for value in values:
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim]
    return shapes


def _attribute(node: onnx.NodeProto, name: str) -> int | list[int] | None:
    for attribute in node.attribute:
        if attribute.name == name:
            value: int | list[int] = helper.get_attribute_value(attribute)
            return value
    return None


def _name(node: onnx.NodeProto) -> str:
    return str(node.name or node.output[0])
