"""Models made of models: a request runs through the steps of a graph, each step a request to another model.

`graph.py` knows the steps, `run.py` takes one request through them, `scheduler.py` is the ensemble's scheduler. A decoupled
step gives any number of responses: `lineage.py` says what is there once for each, `scope.py` holds it.
"""
