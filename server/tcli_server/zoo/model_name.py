"""What a model that is added may be called."""

import re

from tcli_server.errors import InvalidArgumentError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_model_name(name: str) -> str:
    """The name, if folders and addresses everywhere can hold it.

    Raises:
        InvalidArgumentError: says what it may have.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"'{name}' cannot name a model: use letters, digits, '_', '-' and '.', not a '.' or '-' in front"
        )
    return name


def as_model_name(text: str) -> str:
    """A name that a model may have, from one that a file or folder has."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("._-") or "model"
