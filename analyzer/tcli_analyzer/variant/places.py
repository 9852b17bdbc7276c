"""Places in messages, as the user knows them."""

from pathlib import Path


def told(text: str, repository: Path, model: str) -> str:
    """A message from a model's process, with the folder of the user: a working copy is a link, and gone when it is read.

    Args:
        repository: the working copy that the process loads the model from.
    """
    copy = repository / model
    return text.replace(str(copy), str(copy.resolve()))
