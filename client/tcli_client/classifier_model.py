"""A model that answers with one score per class, whatever it takes."""

from dataclasses import dataclass
from typing import Literal

from tcli_client.errors import OptionError


@dataclass(frozen=True)
class Batching:
    """How pictures go together in one request.

    Attributes:
        kind: "server": the model's max_batch_size is above 0, requests have a batch dimension. "none": a request is one
            picture, without a batch dimension. "explicit": max_batch_size is 0 and the model's own dims begin with a batch
            dimension, of which the server does not know.
        largest: most pictures in a request; None where there is no limit.
        fixed: the number that every request must have, 0 where it is free.
    """

    kind: Literal["server", "none", "explicit"]
    largest: int | None
    fixed: int = 0


@dataclass(frozen=True)
class ClassifierModel:
    """A model that takes one picture, in some form, and answers with one score per class.

    Attributes:
        class_count: 0 where the model does not say.
        placeholder: what its weights are if they are not trained, else empty.
        labelled: whether the server has names for the classes.
        notes: what had to be assumed, one sentence each.
    """

    name: str
    versions: tuple[str, ...]
    input: str
    batching: Batching
    output: str
    output_datatype: str
    class_count: int
    placeholder: str
    labelled: bool
    notes: tuple[str, ...]

    def check_batch_size(self, batch_size: int) -> None:
        """Refuse more pictures in a request than the model takes.

        Raises:
            OptionError: says what the model takes, and how to change that.
        """
        largest = self.batching.largest
        if largest is None or batch_size <= largest:
            return
        if self.batching.kind == "server":
            fix = f"use a batch size of at most {largest}, or raise max_batch_size in the model's config.pbtxt"
        elif self.batching.kind == "none":
            fix = "use batch size 1; a model that can batch needs max_batch_size above 0 in its config.pbtxt"
        else:
            fix = f"use batch size {largest}"
        raise OptionError(f"batch size {batch_size}: model '{self.name}' takes at most {largest} in one request", fix)
