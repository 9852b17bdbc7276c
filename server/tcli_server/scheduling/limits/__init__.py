"""The rate limiter: models share named resources, and an instance runs only while it holds what it needs of them.

    limiter = RateLimiter(parse_amounts(["R:4"]))
    [permit] = limiter.join("model", [placement])  # what the placement's `resources` ask for
    permit.ask(wake)                               # True: run; False: `wake` is called when the turn has come
    permit.release()                               # it has run

Whoever runs batches asks at the last moment, before a batch is formed, and gives back what it got if there is nothing
left to run.
"""
