"""`tcli infer`: classifies pictures and the frames of videos, and runs any model over any data."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton_cli.console import err, printable, warn
from triton_cli.infer_batch import BatchOptions, infer_batch, is_table
from triton_cli.infer_ray import EngineName, RayOptions, infer_ray
from triton_cli.infer_server import REPOSITORY, Place
from triton_cli.infer_video import FrameOptions, VideoQuestion, are_videos, infer_videos
from triton_cli.infer_view import JsonView, TextView, View
from triton_cli.server_address import Protocol, Url
from triton_cli.video_view import JsonVideoView, TextVideoView, VideoView

if TYPE_CHECKING:
    from tcli_client import Classifier, ImageResult, Scaling, Transport

EXIT_INTERRUPTED = 130

_ASYNC_REQUESTS = 8
_CLASSES = 3
_MANY_IMAGES = 10
_SLOWEST, _FASTEST = 0.0001, 10_000.0


class ScalingName(StrEnum):
    """The names of `tcli_client.Scaling`, whose module is slow to import."""

    NONE = "NONE"
    INCEPTION = "INCEPTION"
    VGG = "VGG"
    IMAGENET = "IMAGENET"


app = typer.Typer(rich_markup_mode=None, add_completion=False)


def _a_rate(value: float | None) -> float | None:
    if value is not None and not _SLOWEST <= value <= _FASTEST:
        raise typer.BadParameter(f"{value:g} is not from {_SLOWEST:g} to {_FASTEST:g}")
    return value


@app.command()
def infer(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA",
            help="Pictures, videos, or tables (.npy, .npz, .json, .jsonl, .csv, .tsv, .parquet, .wav): files, folders, or "
            "patterns such as 'photos/**/*.jpg'.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="NAME",
            help="The model. [default: the served model that is a trained image classifier]",
            show_default=False,
        ),
    ] = "",
    model_version: Annotated[
        str,
        typer.Option(
            "-x",
            "--model-version",
            metavar="N",
            help="Its version. [default: the highest that is ready]",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Write all answers to a file: .jsonl, .csv, .parquet or .npz. [default: of pictures, text; of tables, "
            "JSON lines on stdout]",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            "-c",
            "--classes",
            metavar="N",
            min=1,
            help="Classes to give for each row. [default: 3 of pictures, else the tensors]",
            show_default=False,
        ),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Give the output tensors, too where classes are given.")] = False,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="INPUT=COLUMN",
            help="The column, or columns a,b,c, that an input is read from. [default: by their names]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a job that did not come to its end.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there of OUT.")] = False,
    scaling: Annotated[
        ScalingName | None,
        typer.Option(
            "-s",
            "--scaling",
            metavar="|".join(ScalingName),
            case_sensitive=False,
            help="What becomes of pixel values 0..255. [default: what the model's configuration says, else INCEPTION]",
        ),
    ] = None,
    as_bytes: Annotated[
        bool,
        typer.Option("--bytes", help="Send the files as they are, to a model of 'tcli repo add-pictures'."),
    ] = False,
    batch_size: Annotated[
        int, typer.Option("-b", "--batch-size", metavar="N", min=1, help="Images in one request.")
    ] = 1,
    protocol: Protocol = None,
    url: Url = "",
    local: Annotated[bool, typer.Option("--local", help="Run the model in this process, without a server.")] = False,
    repository: Annotated[
        Path | None,
        typer.Option(
            "--model-repository",
            metavar="DIR",
            help="With --local, the repository. [default: ./model_repository]",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option("--engine", help="Who gives rows to the model: this process, or Ray's actors on many machines."),
    ] = EngineName.TCLI,
    ray_address: Annotated[
        str,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="With --engine ray, the cluster's head. [default: start Ray on this machine]",
            show_default=False,
        ),
    ] = "",
    many_at_once: Annotated[
        bool, typer.Option("--async", help=f"Keep {_ASYNC_REQUESTS} requests under way at a time instead of one.")
    ] = False,
    frames: Annotated[
        bool, typer.Option("--frames", help="What is named are videos: a folder is one, its pictures the frames.")
    ] = False,
    frame_rate: Annotated[
        float | None,
        typer.Option(
            "--frame-rate",
            metavar="F",
            callback=_a_rate,
            help="Frames a second of a folder of frames. [default: 25]",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        int | None, typer.Option("--every", metavar="N", min=1, help="Of a video, take every Nth frame.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="F", callback=_a_rate, help="Of a video, take F frames a second.")
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON document, of videos a line for each frame, and nothing else, on stdout."
        ),
    ] = False,
) -> None:
    """Classify images, or run a model over data, with tcli, Triton or another V2 server, or without any.

    Pictures are stretched to the model's size. Scaling: NONE leaves values at 0..255, INCEPTION brings them to -1..1,
    VGG subtracts that network's mean, IMAGENET is torchvision's. Files that cannot be read do not stop the others; the
    exit status is then 1.

    With --output, or of tables, answers are rows: each says which file it is of, and which row of that. What cannot be read or
    is refused goes to OUT.errors.jsonl, and the exit status is 1. A job that is interrupted goes on with --resume.

    Where nothing listens at localhost and there is a ./model_repository here, its models run in this process.

    The frames of a video go over one gRPC stream. On the terminal there is a line for each change of the top class, and a
    summary.

    \b
    Examples:
      tcli infer cup.jpg
      tcli infer -m densenet_onnx -c 3 -s INCEPTION ./img1.jpg
      tcli infer photos -b 8 --async --json > classes.json
      tcli infer cup.jpg -i grpc -u gpu-box:8001
      tcli infer --bytes cup.jpg
      tcli infer clip.mp4 --fps 5
      tcli infer --frames --frame-rate 30 shots --json
      tcli infer photos -o classes.csv
      tcli infer rows.parquet -m add_sub --map INPUT0=a --map INPUT1=b -o sums.parquet --local
      tcli infer s3://bucket/rows -m add_sub -o s3://bucket/sums.parquet --engine ray --ray-address head:6379
    """
    if as_bytes and scaling:
        raise typer.BadParameter("with --bytes the server scales the pictures", param_hint="--scaling")
    if model_version and not model:
        raise typer.BadParameter("a version is of a model: name it with --model", param_hint="--model-version")
    if engine is not EngineName.RAY and (ray_address or "://" in (output or "")):
        hint = "--ray-address" if ray_address else "--output"
        raise typer.BadParameter("this goes with --engine ray", param_hint=hint)
    warnings.simplefilter("ignore")  # Pillow's, of odd metadata; where it matters there is an error
    requests = _ASYNC_REQUESTS if many_at_once else 1
    batch = BatchOptions(
        Path(output) if output else None,
        tuple(mapped or ()),
        classes,
        raw,
        resume,
        overwrite,
        json,
        as_bytes,
        _ASYNC_REQUESTS,
    )
    names = [model] if model else []
    if model and as_bytes and ((repository or Path(REPOSITORY)) / f"{model}_pictures").is_dir():
        names.append(f"{model}_pictures")
    place = Place(url, protocol, local, repository, tuple(names))
    view: View | VideoView
    try:
        options = FrameOptions(frames, frame_rate or 0, every or 0, fps or 0)
        if engine is EngineName.RAY:
            if options or url or protocol:
                hint = "--frames" if options else "--url" if url else "--protocol"
                raise typer.BadParameter("Ray's actors hold the model, and take no videos", param_hint=hint)
            ray = RayOptions(output or "", ray_address, repository)
            infer_ray(images, (model, model_version), _scaling(scaling), batch, ray)
            return
        if options and batch:
            raise typer.BadParameter(
                "the frames of videos are not written to files: take --json, or classify the frames' pictures without --frames",
                param_hint="--output",
            )
        if not options and (batch or any(map(is_table, images))):
            infer_batch(place, images, (model, model_version), _scaling(scaling), batch)
            return
        found = list(_found(images, options))
        if options or are_videos(found):
            if as_bytes:
                raise typer.BadParameter("the frames of a video are no files that could be sent", param_hint="--bytes")
            view = JsonVideoView() if json else TextVideoView()
            wanted = (classes or _CLASSES) if json else 1
            question = VideoQuestion(model, model_version, wanted, _scaling(scaling), batch_size)
            infer_videos(found, options, question, place, view, _warn_of)
        else:
            view = JsonView() if json else TextView()
            chosen, answer = (model, model_version, as_bytes), (classes or _CLASSES, scaling)
            with place.asked() as server:
                _infer(server, found, chosen, answer, (batch_size, requests), view)
    except KeyboardInterrupt:
        err().print("interrupted")
        # A request under way, or a thread that decodes a picture, would keep the process for as long as it takes.
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(EXIT_INTERRUPTED)
    if view.failed:
        raise typer.Exit(1)


def _infer(
    server: "Transport",
    found: "list[ImageResult]",
    model: tuple[str, str, bool],
    answer: tuple[int, ScalingName | None],
    images_at_once: tuple[int, int],
    view: View,
) -> None:
    from tcli_client import EncodedClassifier, choose_encoded_model

    files = [entry.file for entry in found if not entry.error]
    if not files:
        for entry in found:
            view.show(entry)
        view.end()
        return
    name, version, as_bytes = model
    classifier: Classifier
    if as_bytes:
        encoded = EncodedClassifier(server, name or choose_encoded_model(server), version)
        classifier, results, form = encoded, encoded.classify(files, answer[0], *images_at_once), ""
    else:
        classifier, results, form = _of_pixels(server, (name, version), files, answer, images_at_once)
    _warn_of(classifier)
    view.begin(classifier, form, chosen=classifier.model.name != name)
    try:
        with _progress(len(found)) as advance:
            for entry in found:
                view.show(entry if entry.error else next(results))
                advance()
    finally:
        view.end()


def _of_pixels(
    server: "Transport",
    model: tuple[str, str],
    files: list[str],
    answer: tuple[int, ScalingName | None],
    images_at_once: tuple[int, int],
) -> "tuple[Classifier, Iterator[ImageResult], str]":
    """What classifies pictures that are decoded here, what comes of it, and the scaling."""
    from tcli_client import ImageClassifier, choose_image_model

    name, version = model
    classes, scaling_name = answer
    classifier = ImageClassifier(server, name or choose_image_model(server), version)
    scaling = _scaling(scaling_name) or classifier.model.scaling
    return classifier, classifier.classify(files, classes, scaling, *images_at_once), scaling.value


def _scaling(name: ScalingName | None) -> "Scaling | None":
    from tcli_client import Scaling

    return Scaling(name.value) if name else None


def _found(arguments: list[str], options: FrameOptions) -> Iterator["ImageResult"]:
    """A result to come for each file, or folder of frames, in order; one with an error for each argument that finds none."""
    from tcli_client import ImageError, ImageResult, find_pictures
    from tcli_client.video import find_videos

    find = find_videos if options else find_pictures
    for argument in arguments:
        try:
            yield from (ImageResult(file) for file in find(argument))
        except ImageError as problem:
            yield ImageResult(argument, error=problem)


def _warn_of(classifier: "Classifier") -> None:
    model = classifier.model
    for note in model.notes:
        err().print("note:", printable(note), markup=False)
    if model.placeholder:
        warn(f"model '{model.name}' is a placeholder ({model.placeholder}): its classes mean nothing")
    if model.labelled and not classifier.ranked_by_server:
        err().print(f"note: servers do not name the classes of {model.output_datatype} scores", markup=False)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], object]]:
    """A bar on stderr for many images, where a person looks at it; calls of what it gives move it."""
    if total < _MANY_IMAGES or not err().is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Answers on a terminal go above the bar; answers into a pipe must not go through rich's stderr.
    with Progress(*columns, console=err(), transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        task = progress.add_task("images", total=total)
        yield lambda: progress.advance(task)
