"""Whether a graph takes inputs of certain shapes, asked before it runs on them."""

import threading
from collections.abc import Sequence

import openvino as ov

from tcli_server.backends.openvino.reading import plain
from tcli_server.errors import InvalidArgumentError

_MOST_KNOWN = 1 << 12


class ShapeCheck:
    """Makes a graph's shapes for each new combination of input shapes.

    OpenVINO checks an input by its own bounds only. Where sizes vary and do not fit what is inside of the graph, it fails in a
    way that harms later runs, or does not notice and reads beyond the input's end.

    Args:
        graph: must not be changed any more.
    """

    def __init__(self, graph: ov.Model) -> None:
        self._graph = graph
        self._tried = graph.clone()
        self._known: set[tuple[tuple[int, ...], ...]] = set()
        self._lock = threading.Lock()
        self._needed = any(port.get_partial_shape().is_dynamic for port in graph.inputs)

    def __call__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Ask for shapes in the order of the graph's inputs.

        Raises:
            InvalidArgumentError: the graph cannot run on them.
        """
        key = tuple(shapes)
        if not self._needed or key in self._known:
            return
        with self._lock:
            try:
                self._tried.reshape(
                    {port: ov.PartialShape(list(shape)) for port, shape in zip(self._tried.inputs, key, strict=True)}
                )
            except RuntimeError as error:
                self._tried = self._graph.clone()
                given = ", ".join(
                    f"'{port.get_node().get_friendly_name()}' {list(shape)}"
                    for port, shape in zip(self._graph.inputs, key, strict=True)
                )
                raise InvalidArgumentError(
                    f"the model does not take inputs of these shapes (batch dimension included): {given}. OpenVINO says: "
                    f"{plain(error)}"
                ) from None
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known.add(key)
