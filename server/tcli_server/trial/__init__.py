"""Whether a batch gives what its items give alone: random items are run both ways, and their answers compared.

Knows nothing of models, files or frameworks: whoever tries something says how it runs one item, and how it runs several.

    verdict = try_batches(inputs, alone, {"": together}, (2, 3, 8))
"""

from tcli_server.trial.items import Item, TrialInput
from tcli_server.trial.runs import LostBatchError, RunError, try_batches, try_items
from tcli_server.trial.verdict import Verdict

__all__ = ["Item", "LostBatchError", "RunError", "TrialInput", "Verdict", "try_batches", "try_items"]
