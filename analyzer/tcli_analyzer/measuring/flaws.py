"""Windows that show something else than the model: nothing is ranked by them."""

from collections.abc import Sequence
from dataclasses import replace

from tcli_analyzer.load import Load
from tcli_analyzer.measuring.balance import imbalance
from tcli_analyzer.measuring.limit import GeneratorLimit, limited_by_generator
from tcli_analyzer.measuring.window import Window


def judged(windows: Sequence[Window], load: Load, limit: GeneratorLimit | None = None) -> list[Window]:
    """The same windows, each with what is wrong with it as `Window.flaw`.

    What others disturbed is not looked at: it proves nothing anyway, and that the generator was late there is their doing.

    Args:
        limit: of the generator; None where it is not known.
    """
    return [replace(window, flaw=_flaw(window, load, limit)) for window in windows]


def _flaw(window: Window, load: Load, limit: GeneratorLimit | None) -> str:
    if not window.is_clean:
        return ""
    return limited_by_generator(window, load, limit) or imbalance(window, load) or ""
