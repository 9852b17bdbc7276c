"""Frames go to the server over one stream as fast as it answers; what is under way is bounded, however long the video.

A thread decodes and sends, whoever takes the results receives. Each request needs one of `window` places before its frames
are decoded, and gives it back when its results have been taken: a slow server, network or reader makes the decoder wait.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from tcli_client.classification import ImageClassifier, Question
from tcli_client.errors import AnswerError, ClientError, ImageError, OptionError, WrongProtocolError
from tcli_client.fitting import Values
from tcli_client.preprocess import Scaling, as_input, check_scaling
from tcli_client.scores import Classification
from tcli_client.tensors import Array
from tcli_client.transport import Inference
from tcli_client.video.frame import Frame

WINDOW = 8
"""Requests under way: enough to keep a server at work, see `benchmarks/video_speed.py`; more only wait in it."""

MOST_REFUSALS = 10
"""Requests in a row that the server may refuse before it is asked no more: it will refuse the rest of the video, too."""

_LINGER_SECONDS = 2.0
"""For how long a decoder that is not needed any more is waited for."""


@dataclass(frozen=True)
class FrameResult:
    """What came of one frame: its best classes, highest score first, or why there are none.

    Attributes:
        index, time, seconds: as in `Frame`.
    """

    index: int
    time: float
    seconds: float
    classes: tuple[Classification, ...] = ()
    error: ClientError | None = None


@dataclass
class _Group:
    """The frames of one request; those with an error are not in it, and where all have one there is no request."""

    results: list[FrameResult] = field(default_factory=list)
    question: Question | None = None


@dataclass(frozen=True)
class _End:
    """No more groups come."""

    problem: BaseException | None = None


def classify_frames(
    classifier: ImageClassifier,
    frames: Iterator[Frame],
    classes: int = 1,
    scaling: Scaling | Values | None = None,
    batch_size: int = 1,
    window: int = WINDOW,
) -> Generator[FrameResult, None, None]:
    """Classify frames over one stream; results come in the order of the frames, as soon as they are known.

    Args:
        frames: taken and read in a thread of its own, which closes it if it can be closed.
        classes: how many of the highest-scored to give for each frame; fewer where the model has fewer.
        scaling: None for what fits the model.
        batch_size: frames in one request; the last request holds what remains.
        window: requests under way, decoded but with a result that has not been taken.

    Raises:
        OptionError: an option does not go with the model, or the server is not asked over gRPC.
        VideoError, or whatever `frames` raises: after the results of all frames before.
        AnswerError: the server refused `MOST_REFUSALS` requests in a row. Fewer are in the results of their frames.
        ServerUnreachableError, RequestTimeoutError, WrongProtocolError: there are no more answers.
    """
    if classes < 1 or batch_size < 1 or window < 1:
        raise OptionError("classes, batch size and requests in flight are at least 1")
    wanted = scaling or classifier.model.scaling
    check_scaling(wanted, classifier.model.form)
    classifier.model.check_batch_size(batch_size)
    return _Run(classifier, frames, classes, wanted, batch_size, window).results()


class _Run:
    """One video on its way."""

    def __init__(
        self,
        classifier: ImageClassifier,
        frames: Iterator[Frame],
        classes: int,
        scaling: Scaling | Values,
        batch_size: int,
        window: int,
    ) -> None:
        self._classifier, self._frames = classifier, frames
        self._classes, self._scaling, self._batch_size = classes, scaling, batch_size
        self._places = threading.Semaphore(window)
        self._stopped = threading.Event()
        self._groups: queue.SimpleQueue[_Group | _End] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[Inference | None] = queue.SimpleQueue()

    def results(self) -> Generator[FrameResult, None, None]:
        answers = self._classifier.server.stream(iter(self._requests.get, None))
        sender = threading.Thread(target=self._send, name="frames", daemon=True)
        sender.start()
        refused = 0
        try:
            while not isinstance(group := self._groups.get(), _End):
                if group.question is not None:
                    answer = next(answers, None)
                    if answer is None:
                        raise WrongProtocolError(
                            f"{self._classifier.server.address} ended the stream before it had answered all that was asked"
                        )
                    refused = refused + 1 if isinstance(answer, AnswerError) else 0
                    if isinstance(answer, AnswerError):
                        self._refuse(group, answer, refused)
                    else:
                        self._answer(group, group.question.classes_of(answer))
                yield from group.results
                self._places.release()
            if group.problem is not None:
                raise group.problem
        finally:
            self._stopped.set()
            self._places.release()
            self._requests.put(None)
            answers.close()
            sender.join(_LINGER_SECONDS)

    def _refuse(self, group: _Group, refusal: AnswerError, refused: int) -> None:
        if refused == MOST_REFUSALS:
            raise refusal
        group.results = [result if result.error else replace(result, error=refusal) for result in group.results]

    def _answer(self, group: _Group, ranked: Sequence[Sequence[Classification]]) -> None:
        best = iter(ranked)
        group.results = [
            result if result.error else replace(result, classes=tuple(next(best)[: self._classes]))
            for result in group.results
        ]

    def _send(self) -> None:
        """Until there are no more frames, or nobody wants them."""
        problem: BaseException | None = None
        try:
            while problem is None:
                self._places.acquire()
                if self._stopped.is_set():
                    return
                group, problem = self._group()
                if group.results:
                    self._groups.put(group)
                if len(group.results) < self._batch_size:
                    return
        finally:
            if isinstance(self._frames, Generator):
                self._frames.close()
            self._requests.put(None)
            self._groups.put(_End(problem))

    def _group(self) -> tuple[_Group, BaseException | None]:
        """The next frames, sent; and what ended them before they were as many as they should be."""
        group = _Group()
        pictures: list[Array] = []
        ended: BaseException | None = None
        try:
            try:
                for frame in islice(self._frames, self._batch_size):
                    picture, error = self._picture(frame)
                    if picture is not None:
                        pictures.append(picture)
                    group.results.append(FrameResult(frame.index, frame.time, frame.seconds, error=error))
            except BaseException as problem:
                ended = problem  # but what came before is sent
            if pictures:
                group.question = self._classifier.question(pictures, self._classes)
                self._requests.put(group.question.inference)
        except BaseException as problem:
            return _Group(), problem
        return group, ended

    def _picture(self, frame: Frame) -> tuple[Array | None, ClientError | None]:
        """What the model takes, or why this frame has none; a VideoError is of all frames."""
        form = self._classifier.model.form
        try:
            return as_input(frame.read(form.mode, form.reading_size), form, self._scaling), None
        except ImageError as problem:
            return None, problem
