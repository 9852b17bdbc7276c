"""`tcli infer` of videos: which are meant, and the way of their frames from the file to the view."""

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from triton_cli.console import err
from triton_cli.infer_server import Place
from triton_cli.server_address import ProtocolName
from triton_cli.video_view import VideoView, clock

if TYPE_CHECKING:
    from tcli_client import Classifier, ImageResult, Scaling
    from tcli_client.video import FrameResult, Video


@dataclass(frozen=True)
class FrameOptions:
    """What the command line says about frames.

    Attributes:
        frames: whether what is named is to be taken as videos, a folder as one of them.
        folder_rate: frames a second of a folder; 0 where nothing is said.
        every: take each so-manieth; 0 where nothing is said.
        rate: take so many a second; 0 where nothing is said.
    """

    frames: bool
    folder_rate: float
    every: int
    rate: float

    def __bool__(self) -> bool:
        return self.frames or bool(self.folder_rate or self.every or self.rate)


@dataclass(frozen=True)
class VideoQuestion:
    """What is asked about each frame.

    Attributes:
        model, version: empty for the one to be chosen.
        scaling: None for what fits the model.
    """

    model: str
    version: str
    classes: int
    scaling: "Scaling | None"
    batch_size: int


def are_videos(found: "Sequence[ImageResult]") -> bool:
    """Whether all files are videos, as far as names and first bytes tell."""
    from tcli_client.video import looks_like_video

    files = [entry.file for entry in found if not entry.error]
    return bool(files) and all(map(looks_like_video, files))


def infer_videos(
    found: "Sequence[ImageResult]",
    options: FrameOptions,
    question: VideoQuestion,
    place: Place,
    view: VideoView,
    warn_of: "Callable[[Classifier], None]",
) -> None:
    """Classify the frames of one video after the other.

    Args:
        found: files and folders of frames, and what was found to be none.
        place: where the model is.
        warn_of: says on stderr what there is to say about a model.

    Raises:
        typer.BadParameter: the options do not go together.
        typer.Exit: the server cannot be asked, or not any more.
    """
    from tcli_client import ImageClassifier, VideoError, WrongProtocolError, choose_image_model
    from tcli_client.video import FRAME_RATE, Sampling, classify_frames, looks_like_picture, open_video

    protocol = _grpc(place.url, place.protocol)
    sampling = Sampling(options.every or 1, options.rate)
    videos: list[Video] = []
    for entry in found:
        if not entry.error and looks_like_picture(entry.file) and not Path(entry.file).is_dir():
            raise typer.BadParameter(f"'{entry.file}' is a picture: name the folder whose pictures are the frames")
        try:
            if entry.error:
                view.complain(entry.file, entry.error)
            else:
                videos.append(open_video(entry.file, options.folder_rate or FRAME_RATE))
        except VideoError as problem:
            view.complain(entry.file, problem)
    if not videos:
        return
    with place.asked(protocol) as transport:
        try:
            classifier = ImageClassifier(transport, question.model or choose_image_model(transport), question.version)
        except WrongProtocolError as problem:
            fix = "frames go over gRPC: name the server's gRPC port, HOST:8001 where nothing else was chosen"
            raise WrongProtocolError(str(problem), fix) from None
        scaling = question.scaling or classifier.model.scaling
        warn_of(classifier)
        view.begin(classifier, scaling.value, chosen=classifier.model.name != question.model)
        for video in videos:
            view.begin_video(video)
            frames = sampling.of(video.frames())
            results = classify_frames(classifier, frames, question.classes, scaling, question.batch_size)
            try:
                _show(video, results, view)
            except VideoError as problem:
                view.complain(video.name, problem)


def _show(video: "Video", results: "Generator[FrameResult, None, None]", view: VideoView) -> None:
    """All results, and the summary, also where they end early."""
    from tcli_client import ClientError

    end = None
    try:
        with closing(results), _progress(video) as advance:
            for result in results:
                view.show(result)
                advance(result)
        end = video.end
    except (ClientError, KeyboardInterrupt):
        view.end_video(None)
        raise
    view.end_video(end)


def _grpc(url: str, protocol: ProtocolName | None) -> ProtocolName | None:
    """The protocol to ask by: only gRPC has streams."""
    scheme = url.strip().lower().partition("://")
    if protocol == ProtocolName.HTTP:
        raise typer.BadParameter("a video goes over a gRPC stream, which HTTP does not have", param_hint="--protocol")
    if scheme[1] and scheme[0] in ("http", "https"):
        raise typer.BadParameter("a video goes over a gRPC stream: give a grpc:// address", param_hint="--url")
    return None if scheme[1] else ProtocolName.GRPC


@contextmanager
def _progress(video: "Video") -> "Iterator[Callable[[FrameResult], object]]":
    """How far it is, on stderr, where a person looks at it; calls of what it gives move it."""
    if not err().is_terminal:
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.description}"))
    # Answers on a terminal go above the bar; answers into a pipe must not go through rich's stderr.
    with Progress(*columns, console=err(), transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        task = progress.add_task("", total=None)

        def advance(result: "FrameResult") -> None:
            whole = f" of {clock(video.duration)}" if video.duration else ""
            text = f"{clock(result.time)}{whole}, frame {result.index}"
            progress.update(task, completed=result.time, total=video.duration, description=text)

        yield advance
