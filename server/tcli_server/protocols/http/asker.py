"""Whether anybody still waits for an answer."""

from tcli_server.protocols.http.exchange import Exchange


class Asker:
    """Who asked for what a thread is to find out: for those that are gone it need not, and thousands may ask and go.

    Attributes:
        gone: nobody waits any more; from any thread.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.gone = False
        self._exchange = exchange
        exchange.on_gone = self._heard

    def _heard(self, lost: bool) -> None:
        if lost:
            self.gone = True
        else:  # it only has nothing more to ask
            self._exchange.on_gone = self._heard
