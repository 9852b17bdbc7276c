"""`tcli repo add-pictures`: lets a classifier take picture files as they are."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton_cli.console import out, printable
from triton_cli.infer import ScalingName
from triton_cli.repo_folder import DEFAULT_REPOSITORY, Repository, suggest, told

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


def _parameter(text: str, metavar: str) -> typer.models.OptionInfo:
    """An option that becomes a parameter of the backend."""
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, help=text, show_default=False)
    return option


def add_pictures(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The classifier.")],
    name: Annotated[
        str | None, typer.Option(help="The ensemble's name. [default: MODEL_pictures]", show_default=False)
    ] = None,
    scaling: Annotated[
        ScalingName | None,
        typer.Option(
            "-s",
            "--scaling",
            metavar="|".join(ScalingName),
            case_sensitive=False,
            help="What becomes of pixel values 0..255. [default: what MODEL's configuration says, else INCEPTION]",
        ),
    ] = None,
    resize: Annotated[
        str | None, _parameter("How a picture gets the model's size. [default: exact]", "exact|shorter_side|none")
    ] = None,
    resize_to: Annotated[
        str | None, _parameter("The size before the middle is cut out: the shorter side, or exactly.", "N|HxW")
    ] = None,
    interpolation: Annotated[
        str | None, _parameter("Of the resize: bilinear, bicubic, lanczos, ... [default: bilinear]", "NAME")
    ] = None,
    color_format: Annotated[str | None, _parameter("Order of the channels. [default: RGB]", "RGB|BGR")] = None,
    scale: Annotated[str | None, _parameter("A factor, in place of --scaling's.", "1/255")] = None,
    mean: Annotated[str | None, _parameter("What is taken off then, for each channel.", "N[,N,N]")] = None,
    std: Annotated[str | None, _parameter("What is divided by then, for each channel.", "N[,N,N]")] = None,
    instances: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures that are decoded at the same time.")] = 2,
    model_repository: Repository = DEFAULT_REPOSITORY,
    force: Annotated[bool, typer.Option("--force", help="Replace the models where they exist.")] = False,
) -> None:
    """Put the decoding of JPEG, PNG and WebP before a classifier, as an ensemble that takes the files themselves.

    Size, layout, type and scaling are those of the classifier's configuration; class names are inherited.

    \b
    Examples:
      tcli repo add-pictures efficientnet_lite0
      tcli repo add-pictures resnet50 --scaling IMAGENET --resize shorter_side --resize-to 256
      curl --data-binary @coffee.jpg -H 'Inference-Header-Content-Length: 0' localhost:8000/v2/models/NAME/infer
    """
    from tcli_server.zoo import add_pictures as write_pictures

    options = {
        "resize": resize,
        "resize_to": resize_to,
        "interpolation": interpolation,
        "color_format": color_format,
        "scale": scale,
        "mean": mean,
        "std": std,
    }
    parameters = {key: value for key, value in options.items() if value is not None}
    with told(model_repository, "replace them with --force, or give another name with --name"):
        config = _classifier(model_repository, model)
        added = write_pictures(
            model_repository, config, name, parameters, scaling.value if scaling else None, instances, force
        )
    console = out()
    console.print(
        printable(f"added {added.ensemble.name} and {added.preprocess.name} to {model_repository}\n"), markup=False
    )
    console.print(printable((added.preprocess / "config.pbtxt").read_text("utf-8")), markup=False)
    for note in added.notes:
        console.print(printable(f"note: {note}"), markup=False)
    suggest("tcli serve", model_repository)


def _classifier(repository: Path, model: str) -> "ModelConfig":
    """Its complete configuration.

    Raises:
        NotFoundError: there is no such model.
    """
    from tcli_server.models.check import checked_models
    from tcli_server.models.overview import completed_config
    from tcli_server.repository import model_folders
    from tcli_server.repository.repositories import Repositories

    checked_models(Repositories([os.fspath(repository)]), model)  # says which there are
    return completed_config(model_folders([repository])[model][0])
