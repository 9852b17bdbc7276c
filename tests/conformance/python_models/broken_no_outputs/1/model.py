"""Its configuration has no outputs, and nobody completes it."""


class TritonPythonModel:
    pass
