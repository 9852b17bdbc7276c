"""What a worker says went wrong in its model."""

from tcli_server.backends.python.stub.wire import Message
from tcli_server.errors import InternalError
from tcli_server.observability.log import FURTHER, LOG


def failure(reply: Message, what: str, before: str = ": ") -> None:
    """Log what went wrong in a model, whole.

    Raises:
        InternalError: if something did; one line.
    """
    if "failure" in reply:
        text, trace = reply["failure"]
        LOG.error("%s", what, extra={FURTHER: trace})
        raise InternalError(f"{what}{before}{text}")
