"""What an ensemble asks of the models of its steps."""

from typing import Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.request import InferenceRequest
from tcli_server.scheduling import Later
from tcli_server.spec import ModelSpec


class Member(Protocol):
    """A model that takes part in an ensemble."""

    config: ModelConfig
    spec: ModelSpec

    def lease(self) -> bool:
        """Have the model take `leased` requests until `give_back`, even if it is stopped meanwhile; False if it is."""

    def give_back(self) -> None:
        """End a lease."""

    def submit(self, request: InferenceRequest, later: Later | None = None, *, leased: bool = False) -> bool:
        """Take over a request; raises InvalidArgumentError where it does not fit."""

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """As `Scheduler.abandon`."""
