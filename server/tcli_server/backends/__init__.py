"""What can run a model file: a folder or file each, behind one small interface; `registry` knows which there are.

A backend declares itself by a `BackendKind`, in a file that is quick to import; `registry` imports the rest when a model
needs it. A package adds backends of its own by entry points of the group `tcli.backends`, each of which is such a kind.

A backend is told the model's complete configuration and opens instances; an instance runs whole
batches and knows nothing of requests, queues or the wire:

    instance = backend("onnxruntime").open(config, model_file, placement)
    instance.signature                         # what the file takes and gives
    inputs = instance.prepare(request_inputs)  # once for each request: refuse or convert
    arrays = instance.run({"INPUT0": batch_of_inputs}, ["OUTPUT0"])
    instance.close()

A model that is a program of its own gets its requests one by one instead, and may answer each any number of times:

    answers = instance.execute(calls)
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.complaint import Complaint, parameter_complaints
from tcli_server.backends.source import Source
from tcli_server.backends.value_hint import ValueHint
from tcli_server.errors import ServerError, UnavailableError
from tcli_server.observability.custom_metrics import CustomMetrics
from tcli_server.request import InferenceRequest, Inputs, Parameter
from tcli_server.signature import ModelSignature


@dataclass(frozen=True, slots=True)
class BackendKind:
    """How a configuration or a folder names a backend, whether this server has it or not, and where it is.

    Attributes:
        name: as `backend:` in the configuration.
        platform: as `platform:` in the configuration; empty where Triton has no such word for it.
        model_file: the name of the model's file, or folder, where the configuration gives none.
        settings: what `--backend-config` can tell it.
        runtime: as `runtime:` in the configuration, which need not name it.
        implementation: `package.module:Class` of its `Backend`, which takes no arguments; empty for one that only Triton has.
        needs: the module that it cannot work without, which may be missing here; empty for none.
        distributions: what may bring that module: the version of the first that is there is the backend's.
        extra: `pip install "tcli[<extra>]"` brings that; empty where that is for the user to know.
        other_files: further names of a model's file, or folder, each of which tells that this is the backend.
        is_folder: its models are folders.
        other_platforms: further words for it as `platform:`.
        source: by what its models are recognised that are not in a repository yet.
        fields: of the configuration, by their full paths, that only it reads: `optimization.cuda`. Others refuse them.
    """

    name: str
    platform: str
    model_file: str
    settings: tuple[str, ...] = ()
    runtime: str = ""
    implementation: str = ""
    needs: str = ""
    distributions: tuple[str, ...] = ()
    extra: str = ""
    other_files: tuple[str, ...] = ()
    is_folder: bool = False
    other_platforms: tuple[str, ...] = ()
    source: Source = field(default_factory=Source)
    fields: tuple[str, ...] = ()

    @property
    def platforms(self) -> tuple[str, ...]:
        """Every word for it as `platform:`."""
        return (self.platform, *self.other_platforms)

    @property
    def files(self) -> tuple[str, ...]:
        """Every name of a model's file that tells that this is the backend."""
        return (self.model_file, *self.other_files) if self.model_file else self.other_files

    @property
    def suffixes(self) -> set[str]:
        """How these names end: `{".onnx"}`."""
        return {Path(file).suffix for file in self.files}

    @property
    def library(self) -> str:
        """Its `runtime`: a library in Triton, where it is no Python file."""
        return self.runtime or f"libtriton_{self.name}.so"


@dataclass(frozen=True, slots=True)
class Resource:
    """What an instance needs for a run, where runs are limited.

    Attributes:
        is_global: there is one pool of it for the machine, not one for each device.
    """

    name: str
    count: int
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one instance runs.

    Attributes:
        name: the instance's name, `<group>_<i>` on CPU and `<group>_<i>_gpu<id>` on a GPU.
        gpu: the GPU's index, None for CPU.
        threads: cores that this instance may fill by default.
        by_model: the model itself decides on what it runs (KIND_MODEL).
        profiles: what it is to use of what the model was optimised for, as the configuration names it; none for any.
        dla_core: the core of the deep learning accelerator beside the GPU; None for none.
        resources: what it needs for a run, and its `priority`: the larger, the less often it runs; only where runs are
            limited.
    """

    name: str
    gpu: int | None
    threads: int
    resources: tuple[Resource, ...] = ()
    priority: int = 1
    by_model: bool = False
    profiles: tuple[str, ...] = ()
    dla_core: int | None = None


class Host(Protocol):
    """What the engine does for models that are programs of their own; as its members of these names."""

    custom_metrics: CustomMetrics

    def submit(self, request: InferenceRequest) -> None: ...

    def begin_load(
        self, name: str, config: str | None = None, files: Mapping[str, bytes | memoryview] | None = None
    ) -> "Future[None]": ...

    def begin_unload(self, name: str, unload_dependents: bool = False) -> "Future[None]": ...

    def check_model_control(self) -> None: ...

    def model(self, name: str, version: str = "") -> object: ...

    def begin_model_ready(self, name: str, version: str = "") -> "Future[bool]": ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a model file lies, and what it may ask of the server.

    Attributes:
        folder: the model's.
        version: the version's number.
        settings: `--backend-config` for this backend.
        host: None where no server runs, as in a check.
        version_folder: the version's; None where the model file lies in it.
    """

    folder: Path
    version: int
    settings: Mapping[str, str] = field(default_factory=dict)
    host: Host | None = None
    version_folder: Path | None = None


class UnservedError(UnavailableError):
    """The model ended before it answered the request, which is not the reason: it may be given to it again."""


class Answer(NamedTuple):
    """One response of a model to a request: outputs in the model's own shapes, or an error."""

    outputs: dict[str, np.ndarray]
    parameters: dict[str, Parameter]
    error: ServerError | None = None


class Call(Protocol):
    """A request on its way through an instance that answers each by itself.

    Attributes:
        request: what the client sent; read only.
        inputs: what the model gets, in its own shapes.
        outputs: names of those that the client wants.
        on_end: called once with this when the request ends, from any thread; to be set by the instance.
        number: for the instance to know it by.
        again: the model wants the request once more; to be set by the instance before `execute` returns.
    """

    request: InferenceRequest
    inputs: Inputs
    outputs: Sequence[str]
    on_end: "Callable[[Call], None] | None"
    number: int
    again: bool

    def respond(self, answer: Answer, final: bool) -> None:
        """Give a response, the last one with `final`; from any thread."""

    def finish(self) -> None:
        """End without another response."""


class Instance(Protocol):
    """One copy of a model, used by one thread at a time, or by one for each of its lanes.

    Attributes:
        steady: a run takes about as long as any other on inputs of the same shapes, whatever their values, and all of it
            is the calling thread's work. What is steady and quick may run in a server's event loop.
        lanes: batches that it can run side by side, each in a thread of its own. Where each has something of its own to warm
            up, that of the lane that has rested longest serves the next batch.
    """

    steady: bool = False
    lanes: int = 1

    @property
    def signature(self) -> ModelSignature | None:
        """What the model takes and gives: completes and checks the configuration. None where that alone tells."""
        return None

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One request's inputs as `run` wants them, before they are joined with those of others.

        Raises:
            InvalidArgumentError: this request cannot be run; nothing else is affected.
        """
        return inputs

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Run one batch.

        Args:
            inputs: arrays in the model file's own shapes, batch dimension included. They are valid only until this
                returns: their memory then belongs to the next batch. An output may be a view of one; it is copied.
            outputs: names of the outputs to compute.

        Returns:
            One array an output, in the order asked.

        Raises:
            RowsError: some rows of the batch failed, and the others did not.
            ServerError: the model could not run on these inputs.
        """

    def close(self) -> None:
        """Give memory and devices back."""


@runtime_checkable
class AnsweringInstance(Instance, Protocol):
    """One copy of a model that answers its requests one by one.

    Attributes:
        took_ns: how long the model itself took for the last batch of requests that are `alone`; 0 if that is not known.
    """

    took_ns: int

    @property
    def fit(self) -> bool:
        """Whether it can run a batch now."""

    @property
    def restarts(self) -> int:
        """Processes that took the place of others."""

    @property
    def memory_size(self) -> int:
        """Bytes of memory that are shared with its process."""

    @property
    def generation(self) -> int:
        """Grows when it loses what earlier requests left in it."""

    def await_fit(self, secs: float) -> bool:
        """Wait, so long at most, until it can; False if it still cannot but is about to."""

    def check_ready(self) -> "Future[bool] | None":
        """Ask the model itself whether it is ready; None if it is as ready as it is fit."""

    def begin(self, calls: Sequence[Call], alone: bool = False) -> Any:
        """Give one batch of requests to the model.

        Args:
            alone: each request is a batch of its own; they only go to the model together.

        Returns:
            What `end` takes; nothing else may begin before.

        Raises:
            ServerError: the model cannot take it.
        """

    def descriptor(self, order: Any) -> int | None:
        """Can be read when something of the answer has come, or never will; None where only `end` may wait for it."""

    def is_done(self, order: Any) -> bool | None:
        """Whether `end` does not have to wait; None if it takes long all the same."""

    def end(self, order: Any) -> "list[Answer | None]":
        """Wait until the model has run the batch.

        Returns:
            An answer for each request, None for one that is answered through its `Call`, now or later, or that comes again.

        Raises:
            ServerError: the model failed; those that are not answered yet never will be.
        """


class Backend(Protocol):
    """Runs one kind of model file. Whoever inherits from this says only what is special about a backend.

    Attributes:
        kind: how it is named.
        default_max_batch_size: what auto-completion gives a model that can batch and does not say how much.
        code: the file that runs all models of this backend, which have no model file of their own then; None if each has.
        only_on_gpu: none of its models runs on a CPU.
    """

    kind: BackendKind
    default_max_batch_size: int = 4
    code: Path | None = None
    only_on_gpu: bool = False

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """What a configuration asks of this backend that it does not know or do; by default every parameter."""
        return parameter_complaints(config, {}, self.kind.name)

    def runs_on_gpu(self) -> bool:
        """Whether GPU instances can work here: there is a GPU and this backend's libraries for it are installed."""
        return False

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:  # noqa: ARG002
        """Threads that an instance will start."""
        return placement.threads

    def complete(self, config: ModelConfig, model_file: Path, surroundings: Surroundings) -> None:
        """Write into the configuration what the model itself says of it, where it can.

        Raises:
            ServerError: the model says something wrong, or cannot say anything.
        """

    def examples(self, config: ModelConfig) -> Mapping[str, Callable[[np.random.Generator], np.ndarray]]:  # noqa: ARG002
        """Inputs that only special values mean something for, such as a picture's bytes -> what makes one up.

        Each gives an array in the client's shape, without the batch dimension.
        """
        return {}

    def value_hints(self, model_file: Path) -> Mapping[str, ValueHint]:  # noqa: ARG002
        """What the file says of the whole numbers that its inputs take, by input; nothing of what it does not say.

        Raises:
            ServerError: the file cannot be read.
        """
        return {}

    def mixing_part(self, model_file: Path, shapes: Mapping[str, Sequence[int]]) -> str:  # noqa: ARG002
        """What in a model gives the items of a batch other answers than they get alone; empty where nobody can say.

        Args:
            shapes: of an item that runs, by input, without the batch dimension.
        """
        return ""

    def open(self, config: ModelConfig, model_file: Path, placement: Placement, surroundings: Surroundings) -> Instance:
        """Load one instance.

        Args:
            config: its inputs and outputs may still be missing, if the instance will have a signature.

        Raises:
            ServerError: the file cannot be loaded, or not where `placement` says.
        """
