"""Real inputs, or made-up ones that suit the model, as a `Source` of requests.

source = DataSource(("photos/",))
look = source.look(config)          # reads all of it once; DataError says what is wrong
requests = source.make(config, 8)   # in the process that sends them
"""

from tcli_analyzer.data.column import Limits
from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.generated import Range, Strings
from tcli_analyzer.data.source import DataSource, Look
from tcli_analyzer.data.suiting import Suited, hints_of, suit

__all__ = ["DataError", "DataSource", "Limits", "Look", "Range", "Strings", "Suited", "hints_of", "suit"]
