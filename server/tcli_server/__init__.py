"""Runs models: the repository, the backends, the batching scheduler and the V2 protocols."""
