"""The text of a new model's configuration, which explains itself."""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository.config_text import format_config
from tcli_server.zoo.found_model import FoundModel


def config_text(config: ModelConfig, found: FoundModel, comments: tuple[str, ...] = ()) -> str:
    """The text, with a comment above each field.

    Args:
        comments: further lines for the beginning.
    """
    title = found.kind.source.title
    runs = f"What runs the model: {title}." if title else "What runs the model."
    written = f"Written by 'tcli repo add' from {found.path.name}. Edit it freely, then run 'tcli repo check'."
    text = format_config(
        config,
        header_comment="\n".join((written, *comments)),
        comments={
            "name": "Must be the name of the model's folder.",
            "platform": runs,
            "backend": runs,
            "max_batch_size": (
                "The largest batch. Every input and output has a batch dimension in front that 'dims' does not list."
                if config.max_batch_size > 0
                else "0: the model does not batch, so 'dims' lists every dimension."
            ),
            "input": "As the model file has them; -1 is a dimension that varies.",
            "dynamic_batching": "Joins waiting requests into batches of up to max_batch_size.",
            "parameters": "How a picture becomes the input, for 'tcli infer' and 'tcli repo add-pictures'.",
            "default_model_filename": "The model's file in its version's folder.",
        },
    )
    return text.encode("utf-8", "replace").decode()  # a file's name may be no text
