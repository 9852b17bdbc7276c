"""What is loaded on a server under a model's name."""

from google.protobuf.json_format import MessageToJson
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_client import AnswerError, Transport


def loaded_config(server: Transport, model: str) -> ModelConfig | None:
    """The complete configuration of what is loaded; None where the model is not ready.

    Raises:
        AnswerError: the model is ready, but the server does not tell its configuration.
        ClientError: there is no answer.
    """
    try:
        return server.model_config(model)
    except AnswerError:
        if server.model_ready(model):
            raise
        return None


def reason_of(server: Transport, model: str) -> str:
    """Why the model is not ready, in the server's words; empty where it was never asked to load it.

    Raises:
        ClientError: as `Transport.index`.
    """
    return next((entry.reason for entry in server.index() if entry.name == model and entry.reason), "")


UNLOADED = "unloaded"
"""The reason of a model that somebody unloaded."""


def as_json(config: ModelConfig) -> str:
    """As the load API takes it."""
    return MessageToJson(config, preserving_proto_field_name=True, indent=None)


def differences(one: ModelConfig, other: ModelConfig) -> str:
    """The fields in which two configurations differ, for people."""
    names = [
        field.name for field in ModelConfig.DESCRIPTOR.fields if getattr(one, field.name) != getattr(other, field.name)
    ]
    return ", ".join(names) or "in its kind of scheduling"
