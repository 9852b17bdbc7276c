"""Runs a session on memory of its own device that is made once and used again, instead of new memory for each batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

Shape = tuple[int, ...]

_MOST_LAYOUTS = 64

_GRAPH, _NO_GRAPH = "gpu_graph_id", "-1"


@dataclass(slots=True)
class _Layout:
    """Buffers for batches of certain shapes.

    Attributes:
        outputs: None until a first run has shown their shapes; in it, None for one that is made for each run.
        options: of all runs after the first.
        names: of the outputs.
    """

    binding: ort.IOBinding
    inputs: dict[str, ort.OrtValue]
    outputs: list[ort.OrtValue | None] | None = None
    options: ort.RunOptions | None = None
    names: Sequence[str] = ()


class BoundSession:
    """A session whose inputs and outputs stay on its device, at the same addresses for batches of the same shapes.

    A first run of certain shapes has ONNX Runtime make the outputs; then those have memory whose shapes depend on the inputs' shapes
    alone, which the model says by the names of its dimensions and the run confirms. All others are made for each run.

    Args:
        device: as ONNX Runtime calls it: `cuda`, or `cpu`.
        number: of the device.
        run_options: makes the options of a run.
        graphs: the provider captures runs as CUDA graphs, each of which is for buffers that stay where they are.
        most_layouts: sets of buffers to keep, one for each combination of shapes.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        device: str,
        number: int,
        run_options: Callable[[], ort.RunOptions | None],
        graphs: bool = False,
        most_layouts: int = _MOST_LAYOUTS,
    ) -> None:
        self._session = session
        self._device, self._number = device, number
        self._run_options = run_options
        self._graphs = graphs
        self._most = most_layouts
        self._layouts: dict[object, _Layout] = {}
        self._usual = run_options()
        sources = {
            dim: (node.name, axis)
            for node in session.get_inputs()
            for axis, dim in enumerate(node.shape)
            if isinstance(dim, str)
        }
        self._sizes = {
            node.name: [dim if isinstance(dim, int) else sources.get(dim) for dim in node.shape]
            for node in session.get_outputs()
        }

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`. No input may be empty.

        Raises:
            Exception: ONNX Runtime cannot run the batch, by classes of its own.
        """
        layout = self._layout(inputs, outputs)
        for name, array in inputs.items():
            layout.inputs[name].update_inplace(np.ascontiguousarray(array))
        if layout.outputs is None:
            return self._first_run(layout, inputs)
        if None in layout.outputs:
            self._bind_outputs(layout)
        try:
            return self._arrays(layout, layout.options)
        except Exception:
            if layout.outputs.count(None) == len(layout.outputs):
                raise
        arrays = self._first_run(layout, inputs)  # the names of the model's dimensions may not keep what they promise
        self._sizes = {name: [None] if name in layout.names else sizes for name, sizes in self._sizes.items()}
        self._keep(layout, inputs, arrays)
        return arrays

    def _first_run(self, layout: _Layout, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        layout.outputs = None
        self._bind_outputs(layout)
        arrays = self._arrays(layout, self._options(_NO_GRAPH) if self._graphs else self._usual)
        self._keep(layout, inputs, arrays)
        return arrays

    def _arrays(self, layout: _Layout, options: ort.RunOptions | None) -> list[np.ndarray]:
        layout.binding.synchronize_inputs()
        self._session.run_with_iobinding(layout.binding, options)
        layout.binding.synchronize_outputs()
        arrays = [value.numpy() for value in layout.binding.get_outputs()]
        # From another device these are copies anyway; here the next run would write into them.
        return [array.copy() for array in arrays] if self._device == "cpu" else arrays

    def _layout(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> _Layout:
        key = (tuple([(name, array.shape) for name, array in inputs.items()]), tuple(outputs))
        layout = self._layouts.get(key)
        if layout is not None:
            return layout
        layout = self._made(inputs, outputs)
        if len(self._layouts) >= self._most:
            if self._graphs:  # those that are captured must stay: this one is for one run
                return layout
            del self._layouts[next(iter(self._layouts))]
        self._layouts[key] = layout
        if self._graphs:
            layout.options = self._options(str(len(self._layouts)))
        return layout

    def _made(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> _Layout:
        binding = self._session.io_binding()
        values = {name: self._memory_like(array) for name, array in inputs.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        return _Layout(binding, values, None, self._usual, tuple(outputs))

    def _memory_like(self, array: np.ndarray) -> ort.OrtValue:
        kind: type = array.dtype.type
        return ort.OrtValue.ortvalue_from_shape_and_type(list(array.shape), kind, self._device, self._number)

    def _bind_outputs(self, layout: _Layout) -> None:
        """Bind the outputs in their order: those that are kept, and the others as memory that ONNX Runtime makes."""
        layout.binding.clear_binding_outputs()
        for name, value in zip(layout.names, layout.outputs or [None] * len(layout.names), strict=True):
            if value is None:
                layout.binding.bind_output(name, self._device, self._number)
            else:
                layout.binding.bind_ortvalue_output(name, value)

    def _keep(self, layout: _Layout, inputs: Mapping[str, np.ndarray], arrays: Sequence[np.ndarray]) -> None:
        """Have memory for those outputs of a first run of which the next run of these shapes is sure to give the same."""
        layout.outputs = [
            self._memory_like(array) if array.size and self._foreseen(name, inputs) == array.shape else None
            for name, array in zip(layout.names, arrays, strict=True)
        ]
        self._bind_outputs(layout)
        if self._graphs and None in layout.outputs:  # a captured run would go on writing where these once were
            layout.options = self._options(_NO_GRAPH)

    def _foreseen(self, output: str, inputs: Mapping[str, np.ndarray]) -> Shape | None:
        shape = []
        for size in self._sizes[output]:
            if isinstance(size, tuple):
                name, axis = size
                size = inputs[name].shape[axis] if name in inputs else None
            if size is None:
                return None
            shape.append(size)
        return tuple(shape)

    def _options(self, graph: str) -> ort.RunOptions:
        options = self._run_options() or ort.RunOptions()
        options.add_run_config_entry(_GRAPH, graph)
        return options
