"""Several processes that serve as one: `tcli serve --workers N`.

A supervisor, which does no work on the way of a request, starts the workers, replaces those that end, hands model control to
all of them and adds up what they count.
"""

from tcli_server.workers.setup import WorkerSetup
from tcli_server.workers.supervisor import Supervisor

__all__ = ["Supervisor", "WorkerSetup"]
