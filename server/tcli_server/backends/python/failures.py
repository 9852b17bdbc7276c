"""What a worker says went wrong in its model."""

import logging

from tcli_server.backends.python.stub.wire import Message
from tcli_server.errors import InternalError
from tcli_server.observability.log import LOG


def failure(reply: Message, what: str, before: str = ": ") -> None:
    """Log what went wrong in a model, whole.

    Raises:
        InternalError: if something did; one line.
    """
    if "failure" in reply:
        text, trace = reply["failure"]
        record = LOG.makeRecord(LOG.name, logging.ERROR, __file__, 0, "%s", (what,), None)
        record.exc_text = trace.rstrip("\n")  # of an exception that is not in this process
        if LOG.isEnabledFor(logging.ERROR):
            LOG.handle(record)
        raise InternalError(f"{what}{before}{text}")
