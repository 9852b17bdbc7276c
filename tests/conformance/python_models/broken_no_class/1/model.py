"""Has no class of the right name."""


class PythonModel:
    pass
