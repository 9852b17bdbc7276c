"""Stateful models: the requests of a sequence, one after the other, all to the same slot of the same instance.

`batcher.py` is the scheduler; it knows who waits for a slot and when a sequence has been idle for too long. How the slots
of an instance become a batch is `forming.py`. `controls.py` and `states.py` make the inputs that no client
sends.
"""
