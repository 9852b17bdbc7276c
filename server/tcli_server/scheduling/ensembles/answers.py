"""The responses of an ensemble: what the client wants of the tensors that its steps have made."""

from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, error_of_kind
from tcli_server.observability.log import LOG
from tcli_server.request import InferenceRequest, InferenceResponse, Inputs, Parameter
from tcli_server.scheduling.ensembles.scope import Scope
from tcli_server.scheduling.ensembles.sequence import NAMES, Sequence
from tcli_server.scheduling.ensembles.shapes import outside, passed_on
from tcli_server.spec import ModelSpec

_DEADLOCK = "unexpected deadlock, at least one output is not set while no more ensemble steps can be made"


class Answers:
    """Makes the responses to one request.

    Args:
        sequence: what the request says of it.
    """

    def __init__(self, request: InferenceRequest, spec: ModelSpec, sequence: Sequence) -> None:
        self._wants = frozenset(request.outputs or spec.outputs)
        self._request = request
        self._spec = spec
        self._sequence = sequence
        self._batches = bool(spec.max_batch_size)

    def make(self, scope: Scope | None) -> InferenceResponse | ServerError | None:
        """The response of a scope in which all is there; of none, nothing or, where there should be one, the error."""
        try:
            if scope is not None:
                return self._made(scope)
            if self._spec.decoupled:
                return None
            raise InvalidArgumentError(_DEADLOCK)
        except ServerError as error:
            return error_of_kind(error.kind, f"in ensemble '{self._spec.name}', {error}")
        except Exception as error:
            LOG.exception("a response of ensemble '%s' could not be made", self._spec.name)
            return InternalError(f"in ensemble '{self._spec.name}', {type(error).__name__}: {error}")

    def _made(self, scope: Scope) -> InferenceResponse:
        outputs: Inputs = {}
        sequence = self._sequence
        for name, spec in self._spec.outputs.items():
            found = scope.find(name) if name in self._wants else None
            if found is not None:
                owner, array = found
                passed = passed_on(array, owner.batches[name], self._batches, spec.backend_dims)
                outputs[name] = outside(spec, passed, self._batches)
                sequence = owner.sequences.get(name, sequence)
        if not outputs and self._wants and not self._spec.decoupled:
            raise InvalidArgumentError(_DEADLOCK)
        if len(outputs) < len(self._wants):
            missing = ", ".join(sorted(self._wants - outputs.keys()))
            LOG.debug("in ensemble '%s': Composing models did not output tensor %s", self._spec.name, missing)
        parameters: dict[str, Parameter] = dict(zip(NAMES, sequence, strict=True))  # as Triton's, in sequences or not
        request = self._request
        return InferenceResponse(
            request.model_name, self._spec.version, request.id, outputs, parameters, spec=self._spec
        )
