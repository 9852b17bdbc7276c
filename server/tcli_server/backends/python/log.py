"""Lines of a model's `Logger`, written to the server's log with the model's name and the place in its code.

I1123 09:15:01.123456 4711 model.py:17] words: 3 of them
"""

import logging
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from tcli_server.observability.log import LOG, escaped

_LEVELS = {"INFO": logging.INFO, "WARNING": logging.WARNING, "ERROR": logging.ERROR, "VERBOSE": logging.DEBUG}


def write_log(model_name: str, body: Mapping[str, Any]) -> None:
    """Write what a `log` message says; each line of its text is one of the log.

    Args:
        body: `level` (INFO, WARNING, ERROR, VERBOSE), `text`, `file` and `line`.
    """
    level = _LEVELS.get(body["level"], logging.INFO)
    if not LOG.isEnabledFor(level):
        return
    file, line = str(body["file"]), int(body["line"])
    for text in str(body["text"]).splitlines() or [""]:
        record = LOG.makeRecord(LOG.name, level, file, line, "%s: %s", (model_name, text), None)
        record.module = f"{escaped(PurePath(file).name)}:{line}"
        LOG.handle(record)
