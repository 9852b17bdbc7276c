"""Names that a Python model must have, so that it runs in Triton as well."""

from collections.abc import Iterator
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.complaint import Complaint

_NOT_IN_NAMES = frozenset(";|&$`<>()[]{}\\\"'*?~#!")
"""Triton starts its processes by way of a shell."""


def name_complaints(config: ModelConfig, code: Path | None) -> Iterator[Complaint]:
    """Names of the model, of its instances and of its file that Triton refuses.

    Args:
        code: None if the model has a file of its own.
    """
    if code is None and not config.default_model_filename.endswith(".py"):
        yield Complaint(
            "default_model_filename",
            f"'{config.default_model_filename}' (Model name must end with '.py')",
            "the name of a Python file",
            "rename the file to model.py and leave this out",
        )
    names = [("name", config.name)]
    names += [(f"instance_group[{index}].name", group.name) for index, group in enumerate(config.instance_group)]
    for field, name in names:
        wrong = "".join(sorted(_NOT_IN_NAMES & set(name)))
        if wrong:
            yield Complaint(
                field,
                f"'{name}' (Invalid stub name: contains invalid characters)",
                "a name without characters that mean something to a shell, as Triton starts Python models by one",
                f"take {wrong} out of it",
            )
