"""One variant of a model, loaded in a process of its own and put under load there.

What a configuration does to a process (a crash, all memory used up) is a result, and the end of no analysis. Two variants may be
loaded at once and measured in turn: one that is not asked anything costs memory only.
"""

from tcli_analyzer.variant.asked import VariantDiedError
from tcli_analyzer.variant.process import Variant

__all__ = ["Variant", "VariantDiedError"]
