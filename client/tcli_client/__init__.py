"""Asks any server that speaks the V2 inference protocol: transports and image classification."""

from tcli_client.address import Address, parse_address
from tcli_client.classification import Classifier, ImageClassifier, ImageResult
from tcli_client.classifier_model import ClassifierModel
from tcli_client.credentials import Credentials
from tcli_client.discovery import (
    choose_encoded_model,
    choose_image_model,
    find_encoded_model,
    find_image_model,
    served_models,
)
from tcli_client.encoded import EncodedClassifier
from tcli_client.errors import (
    AnswerError,
    ClientError,
    CredentialsError,
    ImageError,
    InvalidRequestError,
    NotAClassifierError,
    NotFoundError,
    OptionError,
    RequestTimeoutError,
    ServerUnreachableError,
    UnavailableError,
    UnsupportedError,
    UrlError,
    VideoError,
    WrongProtocolError,
)
from tcli_client.image_model import ImageModel
from tcli_client.picture_files import find_pictures
from tcli_client.preprocess import PictureFormat, Scaling, preprocess
from tcli_client.scores import Classification
from tcli_client.transport import Answer, Inference, Output, Transport, connect

__all__ = [
    "Address",
    "Answer",
    "AnswerError",
    "Classification",
    "Classifier",
    "ClassifierModel",
    "ClientError",
    "Credentials",
    "CredentialsError",
    "EncodedClassifier",
    "ImageClassifier",
    "ImageError",
    "ImageModel",
    "ImageResult",
    "Inference",
    "InvalidRequestError",
    "NotAClassifierError",
    "NotFoundError",
    "OptionError",
    "Output",
    "PictureFormat",
    "RequestTimeoutError",
    "Scaling",
    "ServerUnreachableError",
    "Transport",
    "UnavailableError",
    "UnsupportedError",
    "UrlError",
    "VideoError",
    "WrongProtocolError",
    "choose_encoded_model",
    "choose_image_model",
    "connect",
    "find_encoded_model",
    "find_image_model",
    "find_pictures",
    "parse_address",
    "preprocess",
    "served_models",
]
