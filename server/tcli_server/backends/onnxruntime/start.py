"""Makes a session on the providers that are asked for, and never on others without a word."""

import contextlib
import importlib
import io
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from tcli_server.backends.onnxruntime.accelerators import ON_CPU, ON_GPU, Provider
from tcli_server.backends.onnxruntime.signature import plain
from tcli_server.errors import UnsupportedError
from tcli_server.observability.log import LOG

_CPU = "CPUExecutionProvider"
_ASSIGNMENTS = "session.record_ep_graph_assignment_info"

_one_at_a_time = threading.Lock()
"""Making sessions of OpenVINO's is not safe in several threads, as Triton's backend says, too."""

_preloading = threading.Lock()
_preloaded: set[str] = set()


def start_session(
    model_file: Path, options: ort.SessionOptions, providers: Sequence[Provider], instance: str
) -> ort.InferenceSession:
    """A session on these providers, in this order, and on the CPU for what they do not take.

    Args:
        instance: its name, for the texts.

    Raises:
        UnsupportedError: a provider does not start, or not with this model.
        Exception: ONNX Runtime refuses the model, by classes of its own.
    """
    if not providers:
        return ort.InferenceSession(str(model_file), options, providers=[_CPU], enable_fallback=0)
    if any(kind in ON_GPU.values() for kind, _ in providers):
        preload_gpu_libraries(any(kind is ON_GPU["tensorrt"] for kind, _ in providers))
    options.add_session_config_entry(_ASSIGNMENTS, "1")
    asked = [(kind.provider, chosen) for kind, chosen in providers]
    try:
        with _one_at_a_time:
            session = ort.InferenceSession(str(model_file), options, providers=[*asked, _CPU], enable_fallback=0)
    except Exception as error:
        ort.InferenceSession(
            str(model_file), options, providers=[_CPU], enable_fallback=0
        )  # else the model is to blame
        names = " and ".join(kind.provider for kind, _ in providers)
        raise UnsupportedError(
            f"instance {instance}: ONNX Runtime's {names} cannot run the model, which the CPU can: "
            f"{plain(error).rstrip('.')}. Fix: {providers[0][0].libraries}; or correct the accelerators' parameters, or remove "
            "the accelerators"
        ) from error
    for kind, _ in providers:
        if kind.provider not in session.get_providers():  # ONNX Runtime only logs this and goes on without
            raise UnsupportedError(
                f"instance {instance}: ONNX Runtime's {kind.provider} is asked for, but could not start (ONNX Runtime has "
                f"written the reason to the standard error output). Fix: {kind.libraries}"
            )
    _tell_assignments(session, providers, instance)
    return session


def preload_gpu_libraries(tensorrt: bool = False) -> None:
    """Find CUDA, cuDNN and TensorRT where pip put them; ONNX Runtime looks only on the library path by itself."""
    with _preloading:
        if "cuda" not in _preloaded and hasattr(ort, "preload_dlls"):
            said = io.StringIO()
            with contextlib.redirect_stdout(said):  # it prints what it does not find, where answers may be read from
                ort.preload_dlls()
            if said.getvalue():
                LOG.debug("ONNX Runtime: %s", "; ".join(said.getvalue().splitlines()))
        _preloaded.add("cuda")
        if tensorrt and "tensorrt" not in _preloaded:
            try:
                importlib.import_module("tensorrt_libs")
            except Exception as error:  # not there, or for another CUDA: ONNX Runtime may still find TensorRT itself
                LOG.debug("TensorRT's libraries of pip are not loaded: %s", error)
            _preloaded.add("tensorrt")


def _tell_assignments(session: ort.InferenceSession, providers: Sequence[Provider], instance: str) -> None:
    """Say which provider runs how much of the model: what one does not know falls to the next, and last to the CPU."""
    try:
        parts = session.get_provider_graph_assignment_info()
    except Exception as error:  # an older ONNX Runtime than 1.24, or a provider that does not tell
        LOG.debug("instance %s: it is not known what runs where: %s", instance, error)
        return
    nodes: Counter[str] = Counter()
    for part in parts:
        nodes[part.ep_name] += len(part.get_nodes())
    if not nodes:
        return
    names = [*(kind.provider for kind, _ in providers), _CPU]
    shares = ", ".join(f"{nodes[name]} by {name}" for name in names)
    idle = [
        kind.provider
        for kind, _ in providers
        if kind in (*ON_CPU.values(), ON_GPU["tensorrt"]) and not nodes[kind.provider]
    ]
    level = LOG.warning if idle else LOG.info
    level(
        "instance %s: of %d nodes %s are run%s",
        instance,
        nodes.total(),
        shares,
        "; nothing for the accelerator" if idle else "",
    )
