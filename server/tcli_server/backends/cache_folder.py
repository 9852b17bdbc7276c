"""Folders beside a model's versions, in which a backend keeps what it has compiled."""

import re
from pathlib import Path

from tcli_server.backends.complaint import Rule
from tcli_server.errors import InvalidArgumentError

_NAME = re.compile(r"\.\w[\w.-]{0,63}", re.ASCII)

FOLDER = Rule(
    "the name of a folder inside of the model's that starts with a dot, so that what is written there is no change of the model",
    ".cache",
    lambda value: _NAME.fullmatch(value) is not None,
)
"""What a configuration may write for such a folder: whoever may send one should not choose where this server writes."""


def made(folder: Path, field: str) -> Path:
    """The folder, which nobody has put elsewhere.

    Args:
        field: of the configuration, which names it.

    Raises:
        InvalidArgumentError: it cannot be made, or lies elsewhere.
    """
    problem = "a link" if folder.is_symlink() else ""
    if not problem:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            problem = f"not to be made ({error.strerror})"
    if problem:
        raise InvalidArgumentError(
            f"{field}: {folder} is {problem}, expected a folder that the server may write; fix: make one, or "
            "remove the parameter"
        )
    return folder
