"""What an analysis tries: the dimensions, their values on this machine, and the configurations that they make.

facts = facts_here()
engines = find_engines(base, "model.onnx", facts)
space = Space.default(facts, base, engines)
variants = make_variants(space, current, base, engines, facts, "model.onnx")
"""

from tcli_analyzer.space.dimensions import DIMENSIONS, Space, option_of
from tcli_analyzer.space.engines import Choice, Engines, find_engines, own_engine
from tcli_analyzer.space.errors import SpaceError
from tcli_analyzer.space.facts import Facts, facts_elsewhere, facts_here
from tcli_analyzer.space.settings import Settings, read_settings
from tcli_analyzer.space.values import SpaceValues
from tcli_analyzer.space.variants import Variants, make_variants, same_numbers

__all__ = [
    "DIMENSIONS",
    "Choice",
    "Engines",
    "Facts",
    "Settings",
    "Space",
    "SpaceError",
    "SpaceValues",
    "Variants",
    "facts_elsewhere",
    "facts_here",
    "find_engines",
    "make_variants",
    "option_of",
    "own_engine",
    "read_settings",
    "same_numbers",
]
