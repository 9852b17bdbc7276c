"""Opens SavedModels."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Placement, Surroundings
from tcli_server.backends.complaint import Complaint, parameter_complaints
from tcli_server.backends.tensorflow import parameters
from tcli_server.backends.tensorflow.kind import TENSORFLOW
from tcli_server.backends.tensorflow.runtime import config_pb2, tf
from tcli_server.backends.tensorflow.saved_model import choose_signature, model_signature, not_saved_model, read_graph
from tcli_server.backends.tensorflow.session import TensorFlowInstance, short
from tcli_server.hardware.gpu import gpu_count


@dataclass
class _Shared:
    """A session and how many instances have it."""

    session: Any
    users: int


class TensorFlowBackend(Backend):
    """Makes instances of SavedModels, each a session with threads of its own.

    A session of TensorFlow 1's kind reads SavedModels of both: only that can give each instance its share of the cores,
    and it prepares a call once.
    """

    kind = TENSORFLOW

    def __init__(self) -> None:
        self._sessions: dict[object, list[_Shared]] = {}
        self._sharing = threading.Lock()

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return parameter_complaints(config, parameters.KNOWN, self.kind.name)

    def runs_on_gpu(self) -> bool:
        """As `Backend.runs_on_gpu`."""
        return gpu_count() > 0 and _has_gpu()

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:
        """As `Backend.thread_count`: those inside and between operators."""
        return sum(max(0, count) for count in parameters.thread_counts(config, placement))

    def open(
        self,
        config: ModelConfig,
        model_file: Path,
        placement: Placement,
        surroundings: Surroundings,  # noqa: ARG002
    ) -> TensorFlowInstance:
        """As `Backend.open`.

        Raises:
            ModelFileError: the folder holds no SavedModel that TensorFlow can load, or not the signature.
        """
        tag = parameters.graph_tag(config)
        graph = read_graph(model_file, tag)
        definition = choose_signature(model_file, graph, parameters.signature_name(config))
        counts = parameters.thread_counts(config, placement)
        load = partial(_load, model_file, tag, placement, counts)
        most = parameters.share_count(config)
        if most == 1:
            session = load()
            release: Callable[[], None] = session.close
        else:
            session, release = self._shared((_content(model_file), tag, placement.gpu, counts), most, load)
        return TensorFlowInstance(session, definition, model_signature(definition), release)

    def _shared(self, key: object, most: int, load: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """A session that so many instances have at most, and what gives it back."""
        with self._sharing:  # while it is loaded too: the next instance is to find it
            there = self._sessions.setdefault(key, [])
            shared = next((each for each in there if each.users < most), None)
            if shared is None:
                shared = _Shared(load(), 0)
                there.append(shared)
            shared.users += 1
            return shared.session, partial(self._release, key, shared)

    def _release(self, key: object, shared: _Shared) -> None:
        with self._sharing:
            shared.users -= 1
            if shared.users:
                return
            self._sessions[key].remove(shared)
            if not self._sessions[key]:
                del self._sessions[key]
        shared.session.close()


def _load(path: Path, tag: str, placement: Placement, counts: tuple[int, int]) -> Any:
    """A session with the model in it."""
    options = config_pb2.ConfigProto(
        intra_op_parallelism_threads=counts[0],
        inter_op_parallelism_threads=counts[1],
        use_per_session_threads=True,
        allow_soft_placement=True,  # operators that a GPU has not run on the CPU
        device_count={"GPU": 0} if placement.gpu is None and not placement.by_model else {},
    )
    options.gpu_options.allow_growth = True
    graph = tf.Graph()
    device = f"/GPU:{placement.gpu}" if placement.gpu is not None else None if placement.by_model else "/CPU:0"
    session = tf.compat.v1.Session(graph=graph, config=options)
    try:
        with graph.as_default(), tf.device(device):
            tf.compat.v1.saved_model.loader.load(session, [tag], str(path))
    except Exception as error:  # of TensorFlow's own classes, or whatever a strange file leads to
        session.close()
        found = f"refused by TensorFlow {tf.__version__} ({short(error)})"
        raise not_saved_model(path, found, "save it again, its variables folder beside saved_model.pb") from error
    return session


def _content(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """By which it is known whether a folder holds what another, or the same one before, holds."""
    files = [(each, each.stat()) for each in sorted(path.rglob("*"))]
    return tuple((str(each), about.st_ino, about.st_size, about.st_mtime_ns) for each, about in files)


@cache
def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
