"""What follows the operator's files while the server runs."""

import threading
from collections.abc import Sequence
from typing import Protocol

from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.log import LOG

INTERVAL_SECS = 2.0
"""How often files are looked at."""


class Followed(Protocol):
    """Files, and what is made of them.

    Attributes:
        name: how the log calls it.
    """

    name: str

    def renew(self) -> bool:
        """Read the files, and use what is in them from now on if that has changed; False if it has not.

        Raises:
            InvalidArgumentError: they cannot be used; what was in them before stays in force.
        """


class Follower:
    """Looks at files in a thread of its own: a disk may be slow."""

    def __init__(self, followed: Sequence[Followed]) -> None:
        self._followed = followed
        self._complaints: dict[str, str] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="followed-files", daemon=True)

    def start(self) -> None:
        """Look from now on, if there is anything to look at."""
        if self._followed:
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()

    def look(self) -> None:
        """Renew what has changed; what is wrong with a file is said once, until that changes."""
        for followed in self._followed:
            try:
                renewed = followed.renew()
            except InvalidArgumentError as error:
                if self._complaints.get(followed.name) != str(error):
                    LOG.error("%s: what was read before stays in force: %s", followed.name, error)
                self._complaints[followed.name] = str(error)
            except Exception:  # a defect, which must not end the looking
                LOG.exception("cannot look at the files of %s", followed.name)
            else:
                self._complaints.pop(followed.name, None)
                if renewed:
                    LOG.info("%s: read again, as files have changed", followed.name)

    def _run(self) -> None:
        while not self._end.wait(INTERVAL_SECS):
            self.look()
