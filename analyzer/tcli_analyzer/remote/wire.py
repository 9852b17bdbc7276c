"""How requests are written, where that is not as usual."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tcli_analyzer.target import SequenceMark
from tcli_client import Credentials

Parameter = bool | int | float | str


@dataclass(frozen=True)
class Wire:
    """What a request looks like on its way.

    Attributes:
        headers: to send along with each; over gRPC as metadata.
        parameters: of each request.
        streaming: through ModelStreamInfer; gRPC only.
        json_inputs, json_outputs: tensors as JSON instead of binary data; HTTP only.
        compression: of requests: "none", "gzip" or "deflate"; gRPC only.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    streaming: bool = False
    json_inputs: bool = False
    json_outputs: bool = False
    compression: str = "none"

    def all_headers(self) -> Mapping[str, str]:
        """The headers, and the token that the environment names unless there is one already.

        Raises:
            CredentialsError: its file cannot be used.
        """
        given = {name.lower() for name in self.headers}
        own = Credentials.of_environment().headers
        return {**self.headers, **{name: value for name, value in own.items() if name not in given}}


def with_marks(parameters: Mapping[str, Parameter], sequence: SequenceMark | None) -> Mapping[str, Parameter]:
    """The parameters of a request, with the place that it has in a sequence."""
    if sequence is None:
        return parameters
    marks = {"sequence_id": sequence.id, "sequence_start": sequence.start, "sequence_end": sequence.end}
    return {**parameters, **marks}
