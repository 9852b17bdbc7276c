"""Who runs when: the queue, the dynamic batcher and the order of responses."""
