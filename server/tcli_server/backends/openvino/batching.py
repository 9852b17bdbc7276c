"""Makes a graph whose batch is fixed take batches of any size, where that is shown to give the same answers."""

from collections.abc import Mapping

import numpy as np
import openvino as ov

from tcli_server.backends.openvino.signature import graph_signature, sizes
from tcli_server.backends.openvino.tensors import from_tensor, to_tensor
from tcli_server.random_tensor import random_tensor
from tcli_server.signature import ModelSignature

_ITEMS = 3
_VARYING = 8
"""The size that is tried for a dimension that varies."""

_TOLERANCE = 1e-3


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


def answers_alike(core: ov.Core, alone: ov.Model, together: ov.Model) -> bool:
    """Whether random items that run together get the answers that they get alone; False too if they do not run."""
    try:
        return _answers_alike(core, alone, together, graph_signature(alone))
    except RuntimeError:
        return False


def _answers_alike(core: ov.Core, alone: ov.Model, together: ov.Model, signature: ModelSignature) -> bool:
    random = np.random.default_rng(20)
    items = [
        {
            tensor.name: np.asarray(
                random_tensor(tensor.datatype, (1, *(_VARYING if dim < 0 else dim for dim in tensor.shape[1:])), random)
            )
            for tensor in signature.inputs
        }
        for _ in range(_ITEMS)
    ]
    joined = {name: np.concatenate([item[name] for item in items]) for name in items[0]}
    single = [_run(core, alone, item) for item in items]
    for place, answer in enumerate(_run(core, together, joined)):
        wanted = np.concatenate([one[place] for one in single]).astype(np.float64)
        scale = np.max(np.abs(wanted[np.isfinite(wanted)]), initial=0.0)
        if not np.allclose(answer, wanted, rtol=0, atol=_TOLERANCE * max(scale, 1e-30), equal_nan=True):
            return False
    return True


def _run(core: ov.Core, graph: ov.Model, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
    request = compiled.create_infer_request()
    for index, array in enumerate(inputs.values()):
        request.set_input_tensor(index, to_tensor(array))
    request.infer(share_outputs=True)
    return [from_tensor(request.get_output_tensor(index)).astype(np.float64) for index in range(len(graph.outputs))]
