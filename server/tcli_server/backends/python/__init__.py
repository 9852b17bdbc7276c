"""Python models: each instance is a process of its own, which this folder starts, feeds and watches over."""
