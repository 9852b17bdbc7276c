"""Puts a model of a server under one load after another until each is stable, by perf_analyzer's rules."""
