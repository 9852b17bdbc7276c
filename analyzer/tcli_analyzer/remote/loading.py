"""A load that a server is asked for, and watched at."""

import queue
import socket
import threading
from collections.abc import Callable

from tcli_client import Address, ClientError, ServerUnreachableError, connect

LOAD_SECONDS = 600.0
"""For which an answer to a load is waited."""

_LOOK_SECONDS = 0.1
_CONNECT_SECONDS = 2.0


def load(address: Address, model: str, config: str = "", look: Callable[[], None] = lambda: None) -> None:
    """As `Transport.load`, but notices when the server ends meanwhile.

    Its connection does not always tell: a process that the server started for the model may hold it open.

    Args:
        look: called every now and then; what it raises ends the wait, and the server may be at it still.

    Raises:
        ClientError: as `Transport.load`.
    """
    outcome: queue.SimpleQueue[ClientError | None] = queue.SimpleQueue()
    threading.Thread(target=_load, args=(address, model, config, outcome), daemon=True).start()
    while True:
        try:
            error = outcome.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            look()
            _check_listening(address)
            continue
        if error is not None:
            raise error
        return


def _load(address: Address, model: str, config: str, outcome: "queue.SimpleQueue[ClientError | None]") -> None:
    try:
        with connect(str(address), timeout=LOAD_SECONDS) as server:
            server.load(model, config)
    except ClientError as error:
        outcome.put(error)
    else:
        outcome.put(None)


def _check_listening(address: Address) -> None:
    try:
        socket.create_connection((address.host, address.port), _CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        raise ServerUnreachableError(f"{address} ended while it loaded the model") from None
    except OSError:  # busy, perhaps
        return
