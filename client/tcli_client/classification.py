"""Classifies picture files with a served model."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import TypeVar

import numpy as np

from tcli_client.classifier_model import ClassifierModel
from tcli_client.discovery import find_image_model
from tcli_client.errors import (
    AnswerError,
    ClientError,
    ImageError,
    OptionError,
    RequestTimeoutError,
    WrongProtocolError,
)
from tcli_client.fitting import Values
from tcli_client.image_model import ImageModel
from tcli_client.preprocess import Scaling, check_scaling, preprocess
from tcli_client.scores import Classification, parse_classes, parse_flattened_classes, rank
from tcli_client.tensors import Array
from tcli_client.transport import Answer, Inference, Output, Transport

_EXTENSION = "classification"
_EXTENSION_LIMIT = 1_000_000
_UNRANKED_TYPES = ("FP16", "BF16")
_T = TypeVar("_T")

Read = Callable[[str], Array]
"""Makes of a file what a model takes of one picture."""


@dataclass(frozen=True)
class ImageResult:
    """What came of one file: its best classes, highest score first, or why there are none.

    Attributes:
        file: as it was given.
    """

    file: str
    classes: tuple[Classification, ...] = ()
    error: ClientError | None = None


@dataclass(frozen=True)
class Question:
    """An inference, and how its answer is read.

    Attributes:
        classes_of: the ranked classes of each picture; raises WrongProtocolError where the answer holds none.
    """

    inference: Inference
    classes_of: Callable[[Answer], Sequence[Sequence[Classification]]]


class Classifier:
    """A served model that classifies pictures, in whatever form it takes them.

    Attributes:
        model: what the server says about the model.
    """

    def __init__(self, server: Transport, model: ClassifierModel, version: str = "") -> None:
        self.server = server
        self.model = model
        self._version = version

    @property
    def version(self) -> str:
        """The model version that answers."""
        return self._version or max(self.model.versions, key=lambda version: (len(version), version), default="")

    @cached_property
    def ranked_by_server(self) -> bool:
        """Whether the server ranks and names the classes.

        It does not where it lacks Triton's classification extension, nor for 16-bit float outputs, which that extension
        refuses. The scores are then fetched and ranked here, and classes have no labels.
        """
        return self.model.output_datatype not in _UNRANKED_TYPES and _EXTENSION in self.server.metadata().extensions

    def _results(
        self, files: Iterable[str | os.PathLike[str]], classes: int, batch_size: int, in_flight: int, read: Read
    ) -> Iterator[ImageResult]:
        """What `classify` gives.

        Args:
            read: makes of a file what the model takes; raises ImageError.
        """
        if classes < 1 or batch_size < 1 or in_flight < 1:
            raise OptionError("classes, batch size and requests in flight are at least 1")
        self.model.check_batch_size(batch_size)
        tasks = (partial(self._classify_batch, batch, classes, read) for batch in _batches(files, batch_size))
        results = (task() for task in tasks) if in_flight == 1 else _concurrently(tasks, in_flight)
        return (result for batch in results for result in batch)

    def _classify_batch(self, files: Sequence[str], classes: int, read: Read) -> list[ImageResult]:
        """One request, with the pictures among `files` that can be read."""
        results: dict[int, ImageResult] = {}
        pictures: dict[int, Array] = {}
        for position, file in enumerate(files):
            try:
                pictures[position] = read(file)
            except ImageError as problem:
                results[position] = ImageResult(file, error=problem)
        if pictures:
            try:
                ranked: Sequence[Sequence[Classification]] = self._ask(list(pictures.values()), classes)
                for position, best in zip(pictures, ranked, strict=True):
                    results[position] = ImageResult(files[position], tuple(best[:classes]))
            except (AnswerError, RequestTimeoutError, WrongProtocolError) as problem:
                results.update({position: ImageResult(files[position], error=problem) for position in pictures})
        return [results[position] for position in range(len(files))]

    def _ask(self, pictures: list[Array], classes: int) -> Sequence[Sequence[Classification]]:
        """The ranked classes of each picture."""
        question = self.question(pictures, classes)
        return question.classes_of(self.server.infer(question.inference))

    def question(self, pictures: Sequence[Array], classes: int) -> Question:
        """What to ask the server about pictures in the form that the model takes, at most as many as go into a request.

        Args:
            classes: how many to ask for, of each picture; an answer may hold more.
        """
        model, wanted = self.model, len(pictures)
        tensor = pictures[0] if model.batching.kind == "none" else np.stack(pictures)
        if model.batching.fixed > wanted:
            tensor = np.concatenate(
                [tensor, np.zeros((model.batching.fixed - wanted, *tensor.shape[1:]), tensor.dtype)]
            )
        pictures_sent = len(tensor) if model.batching.kind != "none" else 1
        flattened = model.batching.kind == "explicit" and len(tensor) > 1
        k = len(tensor) * model.class_count if flattened else classes
        by_server = self.ranked_by_server and 0 < k <= _EXTENSION_LIMIT

        def classes_of(answer: Answer) -> Sequence[Sequence[Classification]]:
            try:
                array = answer.outputs[model.output]
                if by_server and flattened:
                    return parse_flattened_classes(array.ravel(), wanted, model.class_count)
                if by_server:
                    return [parse_classes(row) for row in array.reshape(wanted, -1)]
                return [rank(row, classes) for row in array.reshape(pictures_sent, -1)[:wanted]]
            except (KeyError, ValueError) as problem:
                raise WrongProtocolError(f"the answer of {self.server.address} holds no classes: {problem}") from None

        output = Output(model.output, k if by_server else 0)
        return Question(Inference(model.name, {model.input: tensor}, [output], self._version), classes_of)


class ImageClassifier(Classifier):
    """A served model, ready to be shown pictures.

        from tcli_client import ImageClassifier, connect

        with connect("localhost:8000") as server:
            classifier = ImageClassifier(server, "efficientnet_lite0")
            for result in classifier.classify(["cup.jpg", "dog.png"], classes=3):
                print(result.file, result.error or [(item.label, item.score) for item in result.classes])

    Attributes:
        model: what the server says about the model.
    """

    def __init__(self, server: Transport, model: str | ImageModel, version: str = "") -> None:
        """Ask the server about a model, or take what `choose_image_model` found.

        Args:
            version: empty for the server's choice, the highest that is ready.

        Raises:
            NotFoundError: the server has no such model; says which it has.
            NotAClassifierError: the model is something else.
            ClientError: no answer.
        """
        found = find_image_model(server, model, version) if isinstance(model, str) else model
        super().__init__(server, found, version)
        self.model: ImageModel = found

    def classify(
        self,
        files: Iterable[str | os.PathLike[str]],
        classes: int = 1,
        scaling: Scaling | Values | None = None,
        batch_size: int = 1,
        in_flight: int = 1,
    ) -> Iterator[ImageResult]:
        """Classify picture files; results come in the order of the files, as soon as they are known.

        Args:
            classes: how many of the highest-scored to give for each picture; fewer where the model has fewer.
            scaling: None for what fits the model.
            batch_size: pictures in one request; the last request holds what remains.
            in_flight: requests under way at the same time, each prepared in a thread of its own.

        Raises:
            OptionError: scaling, batch size or number of classes do not go with the model.
            ServerUnreachableError: the server is gone. Other errors concern single files and are in their results.
        """
        form, wanted = self.model.form, scaling or self.model.scaling
        check_scaling(wanted, form)
        return self._results(files, classes, batch_size, in_flight, lambda file: preprocess(file, form, wanted))


def _batches(files: Iterable[str | os.PathLike[str]], size: int) -> Iterator[list[str]]:
    names = (os.fspath(file) for file in files)
    while batch := list(islice(names, size)):
        yield batch


def _concurrently(tasks: Iterator[Callable[[], _T]], in_flight: int) -> Iterator[_T]:
    """Results in order; never more than `in_flight` tasks under way or waiting to be taken, however many there are."""
    pool = ThreadPoolExecutor(in_flight)
    try:
        running: deque[Future[_T]] = deque(pool.submit(task) for task in islice(tasks, in_flight))
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(task) for task in islice(tasks, 1))
            yield result
    finally:  # whoever stops early does not want to wait for what is under way
        pool.shutdown(wait=False, cancel_futures=True)
