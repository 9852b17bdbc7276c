"""Every error that the client tells a user.

    ClientError
    ├── UrlError                 the server's address cannot be understood
    ├── CredentialsError         a file of certificates or of a token cannot be used
    ├── ServerUnreachableError   nothing answers at the address, or the connection was lost
    ├── WrongProtocolError       something answers, but it does not speak the protocol asked for
    ├── RequestTimeoutError      no answer in time
    ├── AnswerError              the server answered with an error; its words are the message
    │   ├── NotFoundError
    │   ├── InvalidRequestError
    │   ├── UnsupportedError
    │   └── UnavailableError
    ├── ImageError               a file is not a picture that can be read
    ├── VideoError               a file is not a video that can be read, or not to its end
    ├── NotAClassifierError      the model does not take a picture or does not answer with classes
    └── OptionError              scaling or batch size do not go with the model, a video not with the protocol

Each transport maps its own status to these in one table.
"""


class ClientError(Exception):
    """Base of all errors with a message meant for the person who asked.

    Attributes:
        fix: what to do about it, one sentence; empty where the message says it all.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class UrlError(ClientError):
    """The server's address cannot be understood."""


class CredentialsError(ClientError):
    """A file that the environment names for TLS or for a token cannot be used."""


class ServerUnreachableError(ClientError):
    """Nothing answers at the address, or the connection was lost."""


class WrongProtocolError(ClientError):
    """Something answers at the address, but it does not speak the protocol asked for."""


class RequestTimeoutError(ClientError):
    """The server did not answer in time."""


class AnswerError(ClientError):
    """The server answered with an error.

    Attributes:
        status: as the protocol names it: "404" over HTTP, "NOT_FOUND" over gRPC.
    """

    def __init__(self, message: str, status: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.status = status


class NotFoundError(AnswerError):
    """The server has no such model, version or endpoint."""


class InvalidRequestError(AnswerError):
    """The server found the request wrong."""


class UnsupportedError(AnswerError):
    """The server does not do that."""


class UnavailableError(AnswerError):
    """Right request, wrong moment: loading, overloaded, shutting down."""


class ImageError(ClientError):
    """A file is not a picture that can be read."""


class VideoError(ClientError):
    """A file is not a video that can be read, or not to its end."""


class NotAClassifierError(ClientError):
    """The model does not take a picture, or does not answer with one score per class."""


class OptionError(ClientError):
    """What was asked for (scaling, batch size, number of classes) does not go with the model."""
