"""Reads the file of `tcli analyze --config`: what the options of the command line can say, and a space for each model.

Model Analyzer's files are read, too, as far as their fields mean something here.
"""

from pathlib import Path

from tcli_analyzer.space.file.document import AnalysisFile, ModelEntry, NotUsed
from tcli_analyzer.space.file.model_analyzer import is_model_analyzers, read_model_analyzer
from tcli_analyzer.space.file.own import read_own_file
from tcli_analyzer.space.file.reading import Reading, RefusedError
from tcli_server.yaml_nodes import YamlFileError, read_nodes

__all__ = ["AnalysisFile", "ModelEntry", "NotUsed", "YamlFileError", "read_analysis_file"]


def read_analysis_file(path: Path) -> AnalysisFile:
    """Read a file of ours, or one of Model Analyzer's.

    Raises:
        YamlFileError: with everything that is wrong with it.
    """
    node = read_nodes(path)
    reading = Reading(path)
    read = read_model_analyzer if is_model_analyzers(node) else read_own_file
    try:
        found = read(reading, node)
    except RefusedError as error:
        reading.complain(error.node, error.below.lstrip("."), error.found, error.expected, error.fix)
        found = AnalysisFile(path)
    if reading.problems:
        raise YamlFileError(reading.problems)
    return found
