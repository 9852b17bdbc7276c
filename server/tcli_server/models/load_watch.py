"""What is told of every load, whoever asked for it: makes room for models, measures them, brings them their requests."""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

from tcli_server.models.model import Model


class LoadWatch:
    """Does nothing; `OnDemand` is one that does."""

    def before(self, name: str, family: Sequence[str], pushed_bytes: int, demanded: bool) -> None:
        """A load begins; may wait.

        Args:
            family: the model, and the models that it is made of and that are loaded with it.
            pushed_bytes: of files that came with the load request.
            demanded: it is for requests that wait for the model, and of no use once they have given up.

        Raises:
            ServerError: it must not.
        """

    def loading(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Entered while a model's own instances are opened."""
        return contextlib.nullcontext()

    def loaded(self, models: Sequence[Model]) -> None:
        """These are about to be published."""

    def published(self, name: str) -> None:
        """The model of that name can be found."""

    def evicted(self, models: Sequence[Model]) -> None:
        """These were unloaded although nobody asked for that; they may come back."""

    def after(self, name: str) -> None:
        """The load is over, however it ended; also told of one that `before` refused."""
