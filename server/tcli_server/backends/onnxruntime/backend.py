"""Opens ONNX files."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import onnxruntime as ort
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Placement, Surroundings
from tcli_server.backends.complaint import Complaint
from tcli_server.backends.onnxruntime import accelerators, options
from tcli_server.backends.onnxruntime.file import check_content, not_onnx, reads_graphs
from tcli_server.backends.onnxruntime.kind import ONNXRUNTIME
from tcli_server.backends.onnxruntime.refusals import remedy
from tcli_server.backends.onnxruntime.session import BoundOnnxRuntimeInstance, OnnxRuntimeInstance
from tcli_server.backends.onnxruntime.signature import Untold, plain, session_signature, untold
from tcli_server.backends.onnxruntime.start import preload_gpu_libraries, start_session
from tcli_server.backends.value_hint import ValueHint
from tcli_server.errors import ServerError
from tcli_server.hardware.gpu import gpu_count
from tcli_server.observability.log import LOG

PROBE = bytes.fromhex(
    "08083a3b0a100a015812015922084964656e74697479120570726f62655a0f0a0158120a0a08080112040a020801620f0a01"
    "59120a0a08080112040a02080142040a00100d"
)
"""An ONNX model that gives one number back."""

# Released builds may write usage events to a database in the user's cache folder; a server has no business there.
ort.disable_telemetry_events()


class OnnxRuntimeBackend(Backend):
    """Makes instances of ONNX models."""

    kind = ONNXRUNTIME

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return [*options.complaints(config), *accelerators.complaints(config)]

    def runs_on_gpu(self) -> bool:
        """As `Backend.runs_on_gpu`."""
        return gpu_count() > 0 and _cuda_starts()

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:
        """As `Backend.thread_count`: the pools inside and between operators, the calling thread not among them."""
        return sum(options.thread_counts(config, placement)) + accelerators.thread_count(config, placement)

    def value_hints(self, model_file: Path) -> Mapping[str, ValueHint]:
        """As `Backend.value_hints`: the sizes of the tables that an input's values are places in."""
        if not reads_graphs():
            return {}
        from tcli_server.backends.onnxruntime.values import read_values

        return read_values(model_file)

    def mixing_part(self, model_file: Path, shapes: Mapping[str, Sequence[int]]) -> str:
        """As `Backend.mixing_part`."""
        if not reads_graphs():
            return ""
        from tcli_server.backends.onnxruntime.mixing import mixing_node

        return mixing_node(model_file, shapes)

    def open(
        self,
        config: ModelConfig,
        model_file: Path,
        placement: Placement,
        surroundings: Surroundings,
    ) -> OnnxRuntimeInstance:
        """As `Backend.open`.

        Raises:
            ModelFileError: the file is no ONNX model, or not one that ONNX Runtime can load.
            UnsupportedError: a provider that is asked for does not start.
            InvalidArgumentError: the folder of a provider's cache cannot be used.
        """
        graph = _read_graph(model_file)
        providers = accelerators.providers(config, placement, surroundings.folder)
        for name in accelerators.unused(config, placement):
            LOG.warning("instance %s runs on the CPU, so the accelerator '%s' is not used", placement.name, name)
        session_options = options.session_options(config, placement)
        try:
            session = start_session(model_file, session_options, providers, placement.name)
        except ServerError:
            raise
        except Exception as error:
            keys = options.session_keys(config)
            reason = plain(error)
            fix = remedy(reason)
            fix = f"remove or correct the parameters {', '.join(keys)}, or {fix}" if keys else fix
            raise not_onnx(model_file, f"refused by ONNX Runtime {ort.__version__} ({reason})", fix) from error
        try:
            signature = session_signature(session, graph.untold)
        except UnicodeDecodeError:
            raise not_onnx(
                model_file, "a model whose tensors have names that are no UTF-8 text", "export it again"
            ) from None
        if placement.gpu is not None:
            graphs = accelerators.captures_graphs(config)
            made = partial(options.run_options, config, placement)
            return BoundOnnxRuntimeInstance(session, made, signature, "cuda", placement.gpu, graphs)
        # Where operators run side by side, the calling thread only waits for others, which may have to wait for a core.
        alone = not providers and session_options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
        steady = alone and graph.steady
        return OnnxRuntimeInstance(session, options.run_options(config, placement), signature, steady)


class _Graph(NamedTuple):
    """What is to be known of a file's graph, as long as nothing can read it: nothing."""

    untold: Untold = Untold()
    steady: bool = False


def _read_graph(model_file: Path) -> _Graph:
    """Look into the file; where nothing can read it, ONNX Runtime has to judge it alone."""
    if not reads_graphs():
        check_content(model_file)
        return _Graph()
    from tcli_server.backends.onnxruntime.graph import check_external_files, load_outline
    from tcli_server.backends.onnxruntime.steadiness import is_steady

    graph = load_outline(model_file)
    check_external_files(graph, model_file)
    return _Graph(untold(graph), is_steady(graph))


@cache
def _cuda_starts() -> bool:
    """Try it: ONNX Runtime lists the CUDA provider as available even where its libraries are missing."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return False
    preload_gpu_libraries()
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    asked = ["CUDAExecutionProvider"]
    try:
        session = ort.InferenceSession(PROBE, quiet, providers=asked, enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises classes of its own
        LOG.debug("the CUDA provider does not start: %s", error)
        return False
    return asked[0] in session.get_providers()
