"""Classifies picture files with a model that decodes them itself: what is sent is the file, byte for byte."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tcli_client.classification import Classifier, ImageResult, Read
from tcli_client.classifier_model import ClassifierModel
from tcli_client.discovery import find_encoded_model
from tcli_client.errors import ImageError, InvalidRequestError
from tcli_client.tensors import Array
from tcli_client.transport import Transport


class EncodedClassifier(Classifier):
    """As `ImageClassifier`, of a model with one input of BYTES [1].

    Args:
        model: its name, or that of a classifier with such a model in front of it; or what `find_encoded_model` found.
        version: empty for the server's choice.
    """

    def __init__(self, server: Transport, model: str | ClassifierModel, version: str = "") -> None:
        found = find_encoded_model(server, model, version) if isinstance(model, str) else model
        super().__init__(server, found, version if found.name == model else "")

    def classify(
        self,
        files: Iterable[str | os.PathLike[str]],
        classes: int = 1,
        batch_size: int = 1,
        in_flight: int = 1,
    ) -> Iterator[ImageResult]:
        """As `ImageClassifier.classify`, without a scaling, which is the server's matter.

        One request has one answer: where the server refuses one for a picture, its pictures are sent again one by one.
        """
        return self._results(files, classes, batch_size, in_flight, file_content)

    def _classify_batch(self, files: Sequence[str], classes: int, read: Read) -> list[ImageResult]:
        results = super()._classify_batch(files, classes, read)
        if len(files) == 1 or not any(isinstance(result.error, InvalidRequestError) for result in results):
            return results
        return [result for file in files for result in self._classify_batch([file], classes, read)]


def file_content(file: str) -> Array:
    """The bytes of a file, as one element.

    Raises:
        ImageError: it is not there or cannot be read.
    """
    try:
        content = Path(file).read_bytes()
    except FileNotFoundError:
        raise ImageError("there is no such file") from None
    except OSError as problem:
        raise ImageError(f"it cannot be read: {problem.strerror or problem}") from None
    if not content:
        raise ImageError("the file is empty")
    array = np.empty(1, np.object_)
    array[0] = content
    return array
