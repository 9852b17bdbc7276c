"""What a request for a model that is not loaded means: nothing but an error, where loading is not left to requests."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from tcli_server.errors import ServerError
from tcli_server.models.description import Counted
from tcli_server.models.model import Model
from tcli_server.models.registry import Registry
from tcli_server.request import FailureReason, InferenceRequest

Told = TypeVar("Told")


class Demand:
    """The control modes in which models are loaded before requests for them come; `OnDemand` is the other one."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def start(self) -> Sequence[str]:
        """Begin; the models to load at the start, whatever else is."""
        return ()

    def stop(self) -> None:
        """Refuse all that waits, and load nothing more."""

    def ready(self) -> bool:
        """Whether all models are ready that have to be."""
        return self._registry.all_ready() and all(model.fit for model in self._registry.models())

    def check(self, name: str, version: str, error: ServerError) -> None:  # noqa: ARG002
        """Whether a request for a model would be taken although it is not there.

        Args:
            error: why it is not there.

        Raises:
            ServerError: it would not.
        """
        raise error

    def take(self, request: InferenceRequest, error: ServerError) -> bool:
        """Have a request wait for its model, or end it; False if the model is there now, so that it can be tried at once.

        Args:
            error: why the request could not be given to the model.
        """
        request.fail(error, FailureReason.REJECTED)
        return True

    def await_load(self, name: str, version: str) -> None:
        """Wait until a model is there that passes `check`.

        Raises:
            ServerError: it could not be loaded, or not soon enough.
        """

    def when_loaded(self, name: str, version: str, tell: Callable[[Model], Told]) -> "Told | Future[Told]":
        """What `tell` says of a model: at once if it is there, else when it is loaded; does not wait itself.

        Args:
            tell: must not wait for models, as it may be called by whoever loads this one.

        Raises:
            ServerError: as `tell` and `Registry.find`, or the model cannot be waited for.
        """
        return tell(self._registry.find(name, version))

    def counted(self, name: str) -> Sequence[Counted] | None:  # noqa: ARG002
        """What has counters, in the order of names and versions; None if the model of this name was never loaded but may be."""
        return self._registry.models()

    def turn_on(self, name: str) -> None:
        """A load request comes."""

    def turn_off(self, name: str) -> None:
        """An unload request comes."""
