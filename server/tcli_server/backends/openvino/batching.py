"""Makes a graph whose batch is fixed take batches of any size, where that is shown to give the same answers."""

from collections.abc import Sequence

import numpy as np
import openvino as ov

from tcli_server.backends.openvino.reading import plain
from tcli_server.backends.openvino.signature import graph_signature, sizes
from tcli_server.backends.openvino.tensors import from_tensor, to_tensor
from tcli_server.trial import Item, LostBatchError, RunError, TrialInput, Verdict, try_batches
from tcli_server.trial.verdict import unchecked

_SIZES = (2, 3)
_SECONDS = 30.0
"""About so long may a load be held up by this."""


def is_batch_marked(graph: ov.Model) -> bool:
    """Whether the graph says of every input and output, by a layout, that its first dimension is the batch."""
    layouts = [port.get_node().layout for port in (*graph.inputs, *graph.outputs)]
    return bool(layouts) and all(
        not layout.empty and ov.layout_helpers.has_batch(layout) and ov.layout_helpers.batch_idx(layout) == 0
        for layout in layouts
    )


def with_any_batch(graph: ov.Model) -> ov.Model | None:
    """The graph with a first dimension that varies everywhere; None if it cannot be so, whatever the answers.

    Only a batch of 1 is made to vary, and the shapes must show that each output keeps the batch.
    """
    before = graph_signature(graph)
    tensors = (*before.inputs, *before.outputs)
    if not all(tensor.shape and tensor.shape[0] in (-1, 1) and tensor.datatype != "BYTES" for tensor in tensors):
        return None
    changed = graph.clone()
    try:
        changed.reshape(
            {
                port: ov.PartialShape([-1, *list(port.get_partial_shape())[1:]])  # bounds of other dimensions stay
                for port in changed.inputs
            }
        )
    except RuntimeError:  # a node that the batch does not pass
        return None
    after = [port.get_partial_shape() for port in changed.outputs]
    keeps = [
        not new.rank.is_dynamic and sizes(new) == (-1, *old.shape[1:])
        for old, new in zip(before.outputs, after, strict=True)
    ]
    return changed if all(keeps) else None


def try_graphs(core: ov.Core, alone: ov.Model, together: ov.Model) -> Verdict:
    """Whether random items that `together` runs as a batch get the answers that `alone` gives each of them."""
    inputs = [TrialInput(one.name, one.datatype, one.shape[1:]) for one in graph_signature(alone).inputs]
    try:
        single, batched = _Compiled(core, alone), _Compiled(core, together)
    except RuntimeError as error:
        return unchecked(f"it does not compile: {plain(error)}")
    return try_batches(inputs, lambda item: single.run([item])[0], {"": batched.run}, _SIZES, _SECONDS)


class _Compiled:
    """A graph that runs items as a batch, in the precision of its own data types."""

    def __init__(self, core: ov.Core, graph: ov.Model) -> None:
        properties = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
        self._request = core.compile_model(graph, "CPU", properties).create_infer_request()
        self._inputs = [tensor.name for tensor in graph_signature(graph).inputs]
        self._outputs = [tensor.name for tensor in graph_signature(graph).outputs]

    def run(self, items: Sequence[Item]) -> list[Item]:
        tensors = [to_tensor(np.stack([item[name] for item in items])) for name in self._inputs]
        try:
            for index, tensor in enumerate(tensors):
                self._request.set_input_tensor(index, tensor)
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise RunError(plain(error)) from None
        answers = {
            name: from_tensor(self._request.get_output_tensor(index)).copy() for index, name in enumerate(self._outputs)
        }
        if any(array.shape[:1] != (len(items),) for array in answers.values()):
            raise LostBatchError("it does not keep the batch dimension")
        return [{name: array[row] for name, array in answers.items()} for row in range(len(items))]
