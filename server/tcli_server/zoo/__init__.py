"""Models that a repository can be started with, and model folders from any model file or folder."""

from tcli_server.zoo.add import AddedModel, add_model
from tcli_server.zoo.download import DownloadError, RemoteFile, cache_folder, fetch
from tcli_server.zoo.pictures import AddedPictures, add_pictures
from tcli_server.zoo.scaffold import Scaffold, scaffold_densenet_onnx, scaffold_efficientnet_lite0, scaffold_pictures

__all__ = [
    "AddedModel",
    "AddedPictures",
    "DownloadError",
    "RemoteFile",
    "Scaffold",
    "add_model",
    "add_pictures",
    "cache_folder",
    "fetch",
    "scaffold_densenet_onnx",
    "scaffold_efficientnet_lite0",
    "scaffold_pictures",
]
