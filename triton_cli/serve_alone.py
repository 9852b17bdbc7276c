"""`tcli serve` in one process."""

from pathlib import Path
from typing import TYPE_CHECKING

from triton_cli.console import err, fail, warn
from triton_cli.serve_clouds import with_models
from triton_cli.serve_process import StopSignal, leave
from triton_cli.serve_start import begin_log, fail_to_load, in_options, show_addresses, show_loaded

if TYPE_CHECKING:
    from tcli_server.engine import Engine
    from tcli_server.observability.log import LogOptions
    from tcli_server.options import EngineOptions
    from tcli_server.serving import ServeOptions, Server


def run_alone(
    stop: StopSignal,
    repositories: list[Path],
    engine_options: "EngineOptions",
    options: "ServeOptions",
    log_options: "LogOptions",
) -> None:
    """Serve until a signal comes.

    Raises:
        Exit: it cannot be started.
    """
    from tcli_server.observability.native_log import NativeLog
    from tcli_server.temporary import remove_own_folders

    begin_log(log_options)
    with NativeLog(log_options) as native_log:

        def clean_up() -> None:
            remove_own_folders()
            native_log.close()

        server = stop.run(lambda: _start(repositories, engine_options, options), abandon=clean_up)
        stop.wait()
        server.withdraw()
        answered = server.shutdown()
        if answered and not server.engine.loading:
            return
        if not answered:
            err().print("Exit timeout expired. Exiting immediately.")
        clean_up()
        leave(0 if answered else 1)  # what still computes or loads would keep the process alive


def _start(repositories: list[Path], engine_options: "EngineOptions", options: "ServeOptions") -> "Server":
    from tcli_server.engine import Engine
    from tcli_server.errors import ServerError
    from tcli_server.serving import Server, check_endpoints
    from tcli_server.temporary import remove_abandoned_folders

    remove_abandoned_folders()
    try:
        check_endpoints(options)
        engine = Engine(*repositories, options=engine_options)
        _load(engine)
        options = with_models(options, engine)
        server = Server(engine, options)
        server.start()
    except ServerError as error:
        fail(in_options(str(error)))
    show_addresses(server, options)
    return server


def _load(engine: "Engine") -> None:
    """Load the models and show how that went.

    Raises:
        Exit: a model could not be loaded, and all must be.
    """
    from tcli_server.errors import ServerError

    engine.start()
    try:
        index = engine.repository_index().models
    except ServerError as error:  # the repository cannot be read: with --exit-on-error=false the server still starts
        warn(str(error))
        index = []
    placeholders = [model.name for model in engine.models() if model.is_placeholder]
    failed = show_loaded(index, engine.repositories, engine.options, placeholders)
    if failed and engine.options.exit_on_error:
        engine.shutdown(0)
        fail_to_load(failed)
