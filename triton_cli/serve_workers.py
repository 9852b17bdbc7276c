"""`tcli serve --workers N`: the supervisor of several processes."""

import signal
from typing import TYPE_CHECKING

from triton_cli.console import err, fail
from triton_cli.serve_process import StopSignal, leave
from triton_cli.serve_start import begin_log, fail_to_load, in_options, show_addresses, show_loaded

if TYPE_CHECKING:
    from tcli_server.workers import Supervisor, WorkerSetup


def run_workers(stop: StopSignal, setup: "WorkerSetup") -> None:
    """Serve until a signal comes, or workers cannot be started any more; SIGHUP replaces them one by one.

    Raises:
        Exit: they cannot be started.
    """
    from tcli_server.errors import ServerError
    from tcli_server.workers import Supervisor

    begin_log(setup.log)
    try:
        supervisor = Supervisor(setup, stop.stop)
    except ServerError as error:
        fail(str(error))
    signal.signal(signal.SIGHUP, lambda *_: supervisor.reload_soon())
    stop.run(lambda: _start(supervisor, setup), abandon=lambda: _abandon(supervisor))
    stop.wait()
    if not supervisor.failure:
        supervisor.withdraw()
    answered = supervisor.shutdown()
    if supervisor.failure:
        fail(supervisor.failure)
    if not answered:
        err().print("Exit timeout expired. Exiting immediately.")
        leave(1)


def _start(supervisor: "Supervisor", setup: "WorkerSetup") -> None:
    from tritonclient.grpc import service_pb2

    from tcli_server.errors import ServerError

    try:
        loaded = supervisor.load()
        index = service_pb2.RepositoryIndexResponse.FromString(loaded.index).models
        failed = show_loaded(index, setup.repositories, setup.engine, loaded.placeholders)
        if failed and setup.engine.exit_on_error:
            supervisor.shutdown(0)
            fail_to_load(failed)
        supervisor.open()
    except ServerError as error:
        supervisor.shutdown(0)
        fail(in_options(str(error)))
    show_addresses(supervisor, setup.serve)


def _abandon(supervisor: "Supervisor") -> None:
    supervisor.shutdown(0)
