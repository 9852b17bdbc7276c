"""Whether a new model is to be batched: by what its file says, and by running items alone and together."""

from collections.abc import Callable

from tcli_server.errors import InvalidArgumentError
from tcli_server.proof import Verdict
from tcli_server.signature import ModelSignature

DEFAULT_MAX_BATCH_SIZE = 8


def choose_max_batch_size(
    signature: ModelSignature,
    wanted: int | None,
    doubt: str,
    names_batch: bool,
    prove: Callable[[int], Verdict],
) -> tuple[int, list[str]]:
    """The max_batch_size for a new model, and what its reader must know about that.

    Args:
        wanted: what the user asked for; None for 8 where batches are right and 0 otherwise.
        doubt: why batches are probably wrong, as far as the file says.
        names_batch: whether the file calls the first dimensions a batch, which counts where nothing can be run.
        prove: runs the model with a max_batch_size.

    Raises:
        InvalidArgumentError: the model cannot have the size that is wanted.
    """
    if wanted == 0:
        return 0, []
    fixed = next((tensor for tensor in (*signature.inputs, *signature.outputs) if not tensor.batchable), None)
    if fixed is not None:
        reason = f"'{fixed.name}' has shape {list(fixed.shape)}, its first dimension does not vary"
        if wanted is not None:
            raise InvalidArgumentError(f"the model cannot batch: {reason}. Leave --max-batch-size out or give 0")
        return 0, [f"max_batch_size is 0: {reason}"]
    unproven = ""
    if not doubt:
        verdict = prove(wanted or DEFAULT_MAX_BATCH_SIZE)
        if verdict.outcome == "unchecked":
            unproven = f"whether a batch gives what its items give alone could not be checked: {verdict.reason}"
            doubt = "" if names_batch else unproven
        elif verdict.outcome == "wrong":
            doubt = wrong_batches(verdict)
    if wanted is not None:
        return wanted, [
            f"max_batch_size is {wanted} as asked for, but {doubt or unproven}"
        ] if doubt or unproven else []
    if doubt:
        return 0, [f"max_batch_size is 0: {doubt}; --max-batch-size N sets another"]
    if unproven:
        return DEFAULT_MAX_BATCH_SIZE, [
            f"max_batch_size is {DEFAULT_MAX_BATCH_SIZE} by the names of the dimensions only: {unproven}"
        ]
    return DEFAULT_MAX_BATCH_SIZE, []


def wrong_batches(verdict: Verdict) -> str:
    """What is said of a model whose batches are wrong."""
    return f"a batch is not what its items are alone: {verdict.reason}"
