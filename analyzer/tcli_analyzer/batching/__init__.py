"""Gives a model whose batch dimension is fixed at 1 a batch dimension of any size, and proves that it works."""

from tcli_analyzer.batching.not_batchable import NotBatchableError
from tcli_analyzer.batching.rewrite import BatchableModel, make_batchable

__all__ = ["BatchableModel", "NotBatchableError", "make_batchable"]
